"""Files of cells in any of the three formats, recognised by their ending."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy import sparse

from .._compat import modalities_apart
from ._atomic import atomic
from ._target import check_room, restore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from matplotlib.figure import Figure
    from mudata import MuData


# What a file of each ending holds.
_HOLDS = {".h5ad": "an AnnData", ".zarr": "an AnnData", ".h5mu": "a MuData"}


def ending(path: str | Path) -> str:
    """Return ``.h5ad``, ``.zarr`` or ``.h5mu``; refuse anything else."""
    found = Path(path).suffix.lower()
    if found not in _HOLDS:
        raise ValueError(f"{str(path)!r} ends in none of .h5ad, .zarr and .h5mu, so its format is not known.")
    return found


def check_endings(source: str | Path, target: str | Path) -> None:
    """Refuse a target whose format cannot take what the source holds."""
    held, wanted = _HOLDS[ending(source)], _HOLDS[ending(target)]
    if held != wanted:
        fitting = " or ".join(name for name, kind in _HOLDS.items() if kind == held)
        raise ValueError(f"{str(source)!r} holds {held}, which {str(target)!r} cannot take; let it end in {fitting}.")


def read_any(path: str | Path) -> AnnData | MuData:
    """Read a ``.h5ad`` or ``.h5mu`` file or a ``.zarr`` folder; FileNotFoundError; ValueError: not what it says."""
    format = ending(path)
    if format == ".zarr":
        restore(Path(os.path.realpath(path)))
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no {'folder' if format == '.zarr' else 'file'} {str(path)!r}.")
    try:
        with _settled(format):
            if format == ".h5mu":
                import mudata

                return mudata.read_h5mu(path)
            import anndata

            return anndata.read_h5ad(path) if format == ".h5ad" else anndata.read_zarr(path)
    except Exception as error:
        # Each of the three readers has exceptions of its own for a file that is not what it should be.
        reason = error.args[0] if error.args and isinstance(error.args[0], str) else error
        raise ValueError(f"{str(path)!r} cannot be read as {format}: {reason}") from error


def write_any(data: AnnData | MuData, path: str | Path) -> None:
    """Write a ``.h5ad`` or ``.h5mu`` file or a ``.zarr`` folder; an older one stays until the new one is complete."""
    format = ending(path)
    target: Any = data
    with atomic(path, store=format == ".zarr") as temporary, _settled(format):
        if format != ".zarr":
            check_room(temporary.parents[1], _n_bytes(target))
        getattr(target, f"write_{format[1:]}")(temporary)


def _n_bytes(value: Any) -> int:
    """Bytes that the arrays of an AnnData or MuData take, in memory and in an HDF5 file."""
    if hasattr(value, "obsm"):
        tables = (value.obs, value.var, value.uns, value.obsm, value.varm, value.obsp, value.varp)
        whole = (value.mod,) if hasattr(value, "mod") else (value.X, value.raw and value.raw.X, value.layers)
        return sum(map(_n_bytes, (*tables, *whole)))
    if isinstance(value, Mapping):
        return sum(map(_n_bytes, value.values()))
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage().sum())
    if sparse.issparse(value):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return getattr(value, "nbytes", 0)


@contextmanager
def _settled(format: str) -> Iterator[None]:
    """Keep to what libraries do by default, or announce that they will, without telling the user each time."""
    with warnings.catch_warnings(), modalities_apart() if format == ".h5mu" else nullcontext():
        # anndata 0.12 writes zarr v2, which every version of it reads; later ones write v3.
        warnings.filterwarnings("ignore", message="Writing zarr v2 data will no longer be the default")
        yield


# As pandas would choose by the ending, which the temporary file does not have.
_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


def write_table(table: pd.DataFrame, path: str | Path, **how: Any) -> None:
    """Write a table as CSV, compressed if `path` ends so; keywords are those of ``DataFrame.to_csv``."""
    with atomic(path) as temporary:
        table.to_csv(temporary, compression=_COMPRESSION.get(Path(path).suffix.lower()), **how)


def read_prior(path: Path) -> pd.DataFrame | AnnData:
    """Read a network, a CSV file with a column ``target``, or measured effects: CSV with names first, or h5ad."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.suffix == ".h5ad":
        from anndata import read_h5ad

        return read_h5ad(path)
    table = pd.read_csv(path)
    return table if "target" in table else table.set_index(table.columns[0])


def write_figure(figure: Figure, path: str | Path) -> None:
    """Draw a figure in the format that `path` ends in."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower().removeprefix("."), dpi=150, bbox_inches="tight")
