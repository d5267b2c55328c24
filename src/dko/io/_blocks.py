"""A CSR matrix that comes in blocks of rows: put together in memory, or written block by block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from .._compat import changed_zarr, stored
from ._atomic import atomic
from ._target import check_room, check_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd


def stack(blocks: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Put blocks of rows together; each is let go of as soon as it is copied, so that there is never twice of all."""
    n_rows, n_columns = sum(block.shape[0] for block in blocks), blocks[0].shape[1]
    if len(blocks) == 1:
        return stored(blocks.pop())
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
    with atomic(path, store=store) as temporary:
        # Columns of every kind, as anndata writes them, before the work begins.
        start = AnnData(stored((len(obs), len(var)), dtype=np.float32), obs=obs.copy(), var=var.copy())
        start.write_zarr(temporary) if store else start.write_h5ad(temporary)
        with changed_zarr(temporary) if store else h5py.File(temporary, "r+") as group:
            del group["X"]
            places = ["X", *(f"layers/{name}" for name in layers)]
            # 64 bits, as a file may hold more entries than 32 can count, which anndata finds out too late.
            for place, block in zip(places, next(blocks), strict=True):
                write_elem(group, place, stored(block), dataset_kwargs={"indptr_dtype": np.int64})
            for matrices in blocks:
                if not store:
                    check_room(temporary.parents[1], sum(one.data.nbytes + one.indices.nbytes for one in matrices))
                for place, block in zip(places, matrices, strict=True):
                    sparse_dataset(group[place]).append(stored(block))
            write_elem(group, "var", start.var.assign(**more()))
