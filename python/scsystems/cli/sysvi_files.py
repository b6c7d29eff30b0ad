"""Files that ``scsystems sysvi`` reads and writes: one with all cells, or one per species."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ScsystemsError
from .command import named_files, path
from .outputs import check_model, check_table


def check_files(options: argparse.Namespace) -> None:
    """Refuse files that cannot be read or written, before there is anything to lose."""
    from ..data.containers import check_source, check_target

    names = [options.name] if options.name else []
    if not options.species:
        for option in ("orthologs", "orthology"):
            if getattr(options, option) not in ([], "one2one"):
                raise ScsystemsError(
                    f"--{option} is for species with a file each. Expected --input SPECIES=FILE ..."
                )
        check_source(options.input)
        if options.embedding_only:
            check_table(options.output, options.overwrite, options.input)
        else:
            check_target(options.input, options.output, options.overwrite, names)
        check_model(options.model, options.overwrite, (options.input, options.output))
        return
    options.species = named_files(options.species, "--input")
    options.orthologs = _tables(options.orthologs, options.species)
    if len(options.species) < 2:
        raise ScsystemsError(
            f"--input has one species ({next(iter(options.species))}). Expected at least two."
        )
    for file in options.species.values():
        check_source(file)
    if options.embedding_only:
        check_table(options.output, options.overwrite, *options.species.values())
    elif options.output.suffix.lower() == ".rds":
        raise ScsystemsError(
            f"{options.output}: cells of several files are written as an AnnData. Expected .h5ad or .zarr."
        )
    else:
        check_target(options.output, options.output, options.overwrite, names)
    check_model(options.model, options.overwrite, (*options.species.values(), options.output))


def _tables(given: list[str], species: dict[str, Path]) -> Path | dict[str, Path] | None:
    """One table of orthologs for all species, or one for each but the first."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        tables = {"": path(given[0])}
    else:
        tables, others = named_files(given, "--orthologs"), list(species)[1:]
        if set(tables) != set(others):
            raise ScsystemsError(
                f"--orthologs names {sorted(tables)}. Expected one table for all, or SPECIES=FILE for every species "
                f"but the first: {', '.join(others)}."
            )
    for file in tables.values():
        if not file.is_file():
            raise ScsystemsError(f"--orthologs: there is no file {file}.")
    return tables.get("", tables)


def read_cells(options: argparse.Namespace):
    """The cells of the file, or of all species together."""
    from ..data.containers import AnnDataFile, open_cells, suffix
    from ..data.joint import join_species

    if not options.species:
        return open_cells(options.input, options.assay, options.layer, raw=options.raw)
    is_rds = {name: suffix(file) == ".rds" for name, file in options.species.items()}
    cells = {
        name: open_cells(
            file,
            # of R's objects, where there are some
            options.assay if is_rds[name] or not any(is_rds.values()) else None,
            options.layer,
            raw=options.raw,
            wanted="counts",
        ).adata
        for name, file in options.species.items()
    }
    return AnnDataFile.holding(
        join_species(
            cells, options.system, orthologues=options.orthologs, orthology=options.orthology
        )
    )
