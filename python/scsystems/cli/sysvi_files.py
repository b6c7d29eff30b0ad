"""Files that ``scsystems sysvi`` reads and writes: one with all cells, or one per species."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import ScsystemsError
from .command import named_files, path
from .outputs import Results, check_model, check_table, write_table

logger = logging.getLogger(__name__)


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
            cells, options.system, orthologs=options.orthologs, orthology=options.orthology
        )
    )


def check_logged(options: argparse.Namespace) -> None:
    """Refuse options for counts where the expression is log-normalized already."""
    if options.fractional:
        raise ScsystemsError(
            "--fractional is for counts, and the expression looks log-normalized. Leave it out, or name the counts "
            "with --layer."
        )
    if options.store is not None:
        raise ScsystemsError(
            f"--store keeps what is made of counts, and the expression of {options.input} looks log-normalized "
            "already. Leave it out, or name the counts with --layer."
        )


def write_results(cells, embedding, model, at, options: argparse.Namespace) -> None:
    """The embedding, and the model if asked for, into files.

    ``at`` are the cells of the file among those of the model.
    """
    import pandas as pd

    from ..data.containers import write_cells

    name, obs = options.name or cells.default_name, cells.adata.obs
    columns = names_of_cells(model, options.labels, at) if options.labels else {}
    table = pd.DataFrame(embedding, index=obs.index).add_prefix(f"{name}_").assign(**columns)

    def write(place) -> None:
        if options.embedding_only:
            write_table(place, name, embedding, obs, columns)
            return
        for added, values in columns.items():
            cells.add_column(added, values)
        cells.add_embedding(name, embedding)
        write_cells(cells, place)

    results = Results()
    if results.keep(
        "The embedding",
        options.output,
        write,
        options.output.with_suffix(".csv.gz"),
        table.to_csv,
    ):
        logger.info("The embedding %r of %d cells is in %s", name, len(table), options.output)
    if options.model and results.keep(
        "The model",
        options.model,
        lambda place: model.save(place, overwrite=options.overwrite),
        options.output.with_name(f"{options.output.stem}-model"),
    ):
        logger.info("The model is in %s", options.model)
    results.report()


def names_of_cells(model, labels: str, at) -> dict:
    """Columns with what the model names the cells by the labels that it was told."""
    p, novelty = model.predict(soft=True).iloc[at], model.novelty().iloc[at]
    column = f"predicted.{labels}"
    return {
        column: p.columns.to_numpy(object)[p.to_numpy().argmax(1)],
        f"{column}.probability": p.max(axis=1).to_numpy(float),
        f"{column}.novelty": novelty["score"].to_numpy(float),
        f"{column}.novel": novelty["novel"].to_numpy(bool),
    }
