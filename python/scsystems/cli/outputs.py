"""Where results go: looked at before anything is computed, and never lost afterwards."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFileError, ScsystemsError, WriteError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

logger = logging.getLogger(__name__)


def check_model(path: Path | None, overwrite: bool, others: Collection[Path]) -> None:
    """Refuse a folder that a model must not replace, and warn of one that cannot be made.

    Parameters
    ----------
    path
        The folder, if a model is asked for.
    overwrite
        Whether a model there may be replaced.
    others
        What else will be read and written.
    """
    from ..files import check_folder

    if path is None:
        return
    if path.absolute() in [other.absolute() for other in others]:
        raise ScsystemsError(f"--model {path} is where the cells are. Give another folder.")
    try:
        check_folder(path, overwrite=overwrite)
    except WriteError as error:
        # no reason to go without the embedding
        logger.warning("Warning: --model: %s It will be saved elsewhere.", error)
    except ModelFileError as error:
        raise ScsystemsError(f"--model: {error}") from error


# files of an embedding alone
TABLES = (".h5ad", ".parquet", ".csv", ".csv.gz")


def check_table(path: Path, overwrite: bool, *sources: Path) -> None:
    """Refuse a file that `write_table` could not write."""
    from ..durable.steps import check_writable

    if not path.name.lower().endswith(TABLES):
        raise ScsystemsError(
            f"{path}: with --embedding-only expected a name that ends in one of {', '.join(TABLES)}."
        )
    if path.absolute() in [source.absolute() for source in sources]:
        raise ScsystemsError(f"{path} holds the cells. Give another name.")
    if path.exists() and not overwrite:
        raise ScsystemsError(
            f"{path} exists already. Give another name, or --overwrite to replace it."
        )
    if path.name.lower().endswith(".parquet"):
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ScsystemsError(
                f"{path}: .parquet needs the package pyarrow (pip install pyarrow). Install it, or give a name that "
                "ends in .csv."
            ) from error
    if not path.absolute().parent.is_dir():
        raise ScsystemsError(f"The folder {path.absolute().parent} does not exist. Make it first.")
    check_writable(path.absolute().parent)


def write_table(
    path: Path, name: str, values: np.ndarray, obs: pd.DataFrame, columns: Mapping[str, np.ndarray]
) -> None:
    """An embedding and new columns alone: with the cells' columns (``.h5ad``), or as a table."""
    import pandas as pd
    from anndata import AnnData

    from ..data.writing import write_anndata
    from ..durable.replace import replace_file

    table = pd.DataFrame(values, index=obs.index).add_prefix(f"{name}_").assign(**columns)
    writers = {
        ".h5ad": lambda p: write_anndata(
            AnnData(obs=obs.assign(**columns), obsm={name: values}), p
        ),
        ".parquet": lambda p: table.to_parquet(p),
        ".csv": lambda p: table.to_csv(p),
        ".csv.gz": lambda p: table.to_csv(p, compression="gzip"),
    }
    suffix = next(s for s in reversed(TABLES) if path.name.lower().endswith(s))
    replace_file(path, writers[suffix])


class Results:
    """Results on their way into files; what cannot be written at its place goes to another."""

    def __init__(self) -> None:
        self._problems: list[str] = []
        self._cause: Exception | None = None

    def keep(
        self,
        what: str,
        path: Path,
        write: Callable[[Path], object],
        spare: Path,
        write_spare: Callable[[Path], object] | None = None,
    ) -> bool:
        """Write a result.

        Parameters
        ----------
        what
            The result, for messages.
        path
            Its place.
        write
            Writes it there.
        spare
            Where it goes otherwise; if that fails, too, under that name into the working folder,
            or to where temporary files are.
        write_spare
            Writes it there; default as ``write``.
        """
        try:
            write(path)
            return True
        except Exception as error:
            # writers of cells raise errors of many kinds
            self._cause = self._cause or error
            said = _in_words(error, path)
        for folder in (spare.absolute().parent, Path.cwd(), Path(tempfile.gettempdir())):
            other = _free(folder / spare.name)
            try:
                (write_spare or write)(other)
            except Exception as error:
                logger.debug("%s: %s", other, error)
                continue
            self._problems.append(f"{said} {what} will be found in {other} instead.")
            return False
        self._problems.append(f"{said} {what} could not be written elsewhere, either.")
        return False

    def report(self) -> None:
        """Raise what went wrong."""
        if self._problems:
            raise ScsystemsError("\n".join(self._problems)) from self._cause


def _in_words(error: Exception, path: Path) -> str:
    from ..durable.steps import reason

    if isinstance(error, ScsystemsError):
        return str(error)
    return f"{path} could not be written ({reason(error)})."


def _free(path: Path) -> Path:
    """A path that does not exist: a number is added to the name if need be."""
    stem, dot, suffix = path.name.partition(".")
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stem}{number}{dot}{suffix}")
    return path
