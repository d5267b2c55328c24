"""Files of cells in any of three formats, recognised by their ending, also written block by block; tables, figures."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from anndata.io import read_zarr, sparse_dataset, write_elem
from scipy import sparse

from .._compat import changed_zarr, modalities_apart, stored
from .._core.messages import say
from .._core.process import behind, elsewhere, uninterrupted
from ._atomic import atomic
from ._hdf5 import Disk
from ._target import check_target, restore

if TYPE_CHECKING:
    from .._typing import Callable, Figure, Iterator, MuData


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
            return read_h5ad(path) if format == ".h5ad" else read_zarr(path)
    except Exception as error:
        # Each of the three readers has exceptions of its own for a file that is not what it should be.
        reason = error.args[0] if error.args and isinstance(error.args[0], str) else error
        raise ValueError(f"{str(path)!r} cannot be read as {format}: {reason}") from error


def write_any(data: AnnData | MuData, path: str | Path) -> None:
    """Write a ``.h5ad`` or ``.h5mu`` file or a ``.zarr`` folder; an older one stays until the new one is complete."""
    format = ending(path)
    # Neither zarr's threads nor HDF5 stop where Ctrl-C is pressed: they would write on where nothing is to be left. An
    # exception that a handler of another signal raises would end the process, if HDF5 were writing in this thread.
    with atomic(path, store=format == ".zarr") as temporary, _settled(format), uninterrupted():
        elsewhere(_write, data, temporary, format)


def _write(data: AnnData | MuData, path: Path, format: str) -> None:
    if format == ".zarr":
        data.write_zarr(path)
    elif format == ".h5mu":
        import mudata

        with Disk(path) as disk:
            mudata.write_h5mu(disk, data)
    else:
        with Disk(path) as disk, h5py.File(disk, "w") as file:
            _write_h5ad(file, data)


def _write_h5ad(file: h5py.File, adata: AnnData) -> None:
    """Write cells as ``AnnData.write_h5ad`` does, which takes paths only."""
    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    write_elem(file, "/", adata)
    if adata.raw is None:
        file.pop("raw", None)  # an empty one, which nothing but anndata 0.12 and later reads


@contextmanager
def _settled(format: str) -> Iterator[None]:
    """Keep to what libraries do by default, or announce that they will, without telling the user each time."""
    with warnings.catch_warnings(), modalities_apart() if format == ".h5mu" else nullcontext():
        # anndata 0.12 writes zarr v2, which every version of it reads; later ones write v3.
        warnings.filterwarnings("ignore", message="Writing zarr v2 data will no longer be the default")
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part in the Zarr format 3")
        yield


# As pandas would choose by the ending, which the temporary file does not have.
_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


def table_ending(path: Path) -> str:
    """Return the ending of the name of a table without that of its compression."""
    return Path(path.stem).suffix if path.suffix in _COMPRESSION else path.suffix


def write_table(table: pd.DataFrame, path: Path, **how: Any) -> None:
    """Write a table as CSV or TSV, compressed if `path` ends so; keywords are those of ``DataFrame.to_csv``."""
    sep = "\t" if table_ending(path) == ".tsv" else ","
    with atomic(path) as temporary:
        table.to_csv(temporary, sep=sep, compression=_COMPRESSION.get(path.suffix.lower()), **how)


def write_page(page: str, path: str | Path) -> None:
    """Write a page, and say so."""
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    say(f"Wrote {path}.")


def read_prior(path: Path) -> pd.DataFrame | AnnData:
    """Read a network, a CSV file with a column ``target``, or measured effects: CSV with names first, or h5ad."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.suffix == ".h5ad":
        return read_h5ad(path)
    table = pd.read_csv(path)
    return table if "target" in table else table.set_index(table.columns[0])


def write_figure(figure: Figure, path: str | Path) -> None:
    """Draw a figure in the format that `path` ends in."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower().removeprefix("."), dpi=150, bbox_inches="tight")


def stack(blocks: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Put blocks of rows together; each is let go of as soon as it is copied, so that there is never twice of all."""
    n_rows, n_columns = sum(block.shape[0] for block in blocks), blocks[0].shape[1]
    indptr = np.cumsum(np.concatenate([[0], *(np.diff(block.indptr) for block in blocks)]))
    values = np.empty(indptr[-1], dtype=blocks[0].dtype)
    columns = np.empty(indptr[-1], dtype=np.int32 if max(indptr[-1], n_columns) < 2**31 else np.int64)
    end = int(indptr[-1])
    while blocks:
        block = blocks.pop()
        start = end - block.nnz
        values[start:end], columns[start:end] = block.data, block.indices
        end = start
    return stored((values, columns, indptr.astype(columns.dtype)), shape=(n_rows, n_columns))


def check_blocks(path: str | Path, adata: AnnData) -> None:
    """Refuse a file for the results of these cells that could not be written, or that they may be read from later."""
    suffix = Path(path).suffix
    if suffix not in {".zarr", ".h5ad"}:
        raise ValueError(f"out={str(path)!r} must end in .zarr or .h5ad.")
    target = check_target(path, store=suffix == ".zarr")
    if adata.isbacked and target.exists() and target.samefile(adata.filename):
        raise ValueError(f"out={str(path)!r} is the file that these cells are read from; name another.")
    is_lazy = any(hasattr(values, "dask") for values in (adata.X, *adata.layers.values()))
    if is_lazy and target.exists():  # of which files, dask does not tell
        raise ValueError(
            f"out={str(path)!r} exists, and these cells are read from files whenever they are used, perhaps from this "
            "one; name a file that is not there yet."
        )


def write_blocks(
    path: str | Path,
    blocks: Iterator[list[sparse.csr_matrix]],
    layers: list[str],
    obs: pd.DataFrame,
    var: pd.DataFrame,
    more: Callable[[], dict[str, np.ndarray]],
) -> None:
    """Write an AnnData whose X and layers come in blocks of rows; `more` columns of var are asked for in the end."""
    store = Path(path).suffix == ".zarr"
    start = AnnData(stored((len(obs), len(var)), dtype=np.float32), obs=obs.copy(), var=var.copy())
    opened = ExitStack()

    def begin() -> tuple[Any, Disk | None]:
        if store:
            start.write_zarr(temporary)
            return opened.enter_context(changed_zarr(temporary)), None
        disk = opened.enter_context(Disk(temporary))
        file = opened.enter_context(h5py.File(disk, "w"))
        _write_h5ad(file, start)
        return file, disk

    with atomic(path, store=store) as temporary, ExitStack() as ending, ExitStack() as closing:
        closing.push(partial(elsewhere, opened.__exit__))
        # Columns of every kind, as anndata writes them, before the work begins. All as in `write_any`.
        with _settled(".zarr" if store else ".h5ad"), uninterrupted():
            group, disk = elsewhere(begin)
        places = ["X", *(f"layers/{name}" for name in layers)]
        beginning = True

        def append(matrices: list[sparse.csr_matrix]) -> None:
            nonlocal beginning
            for place, block in zip(places, matrices, strict=True):
                if beginning:
                    # 64 bits, as a file may hold more entries than 32 can count, which anndata finds out too late.
                    write_elem(group, place, stored(block), dataset_kwargs={"indptr_dtype": np.int64})
                else:
                    sparse_dataset(group[place]).append(stored(block))
            beginning = False
            if disk is not None:
                disk.check()

        try:
            behind(append, blocks)
        finally:
            ending.enter_context(uninterrupted())  # closing, too
        elsewhere(write_elem, group, "var", start.var.assign(**more()))
