"""Matrices that lie in files, as other processes read them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import h5py
from anndata.io import sparse_dataset

from .._compat import lazy_rows


def is_remote(matrix: Any) -> bool:
    """Whether other processes can read the rows of a matrix."""
    if hasattr(matrix, "dask"):
        from distributed import futures_of

        return not futures_of(matrix)  # what lies in the memory of workers, only the client can ask for
    if getattr(matrix, "format", "csr") != "csr":
        return False  # all of it would be read for any rows
    stored = getattr(matrix, "group", matrix)
    if isinstance(stored, h5py.Group | h5py.Dataset):
        return bool(stored.file.mode == "r")  # HDF5 lets nobody else read what this process may write to
    return type(stored).__module__.startswith("zarr.")


def remote(matrix: Any, rows: slice) -> Any:
    """Return what other processes take these rows from, by the same slice."""
    if hasattr(matrix, "dask"):
        return lazy_rows(matrix) or _Lazy(matrix[rows])
    stored = getattr(matrix, "group", matrix)
    if isinstance(stored, h5py.Group | h5py.Dataset):
        return _InFile(os.path.abspath(stored.file.filename), stored.name)
    return matrix


class _Lazy:
    """Rows of a dask array, computed by whoever asks for them, in its own thread."""

    def __init__(self, rows: Any):
        import dask

        (self._rows,) = dask.optimize(rows)  # what others need is left out

    def __getitem__(self, rows: slice) -> Any:
        return self._rows.compute(scheduler="synchronous")


@dataclass(frozen=True)
class _InFile:
    """A matrix in an HDF5 file, opened for each reading."""

    path: str
    name: str

    def __getitem__(self, rows: slice) -> Any:
        try:
            opened = h5py.File(self.path, "r")
        except OSError as error:
            raise OSError(
                f"A worker of the cluster cannot read {self.path!r} ({error}): put the file where all workers see it, "
                "or read the cells into memory."
            ) from error
        with opened as file:
            found = file[self.name]
            return (sparse_dataset(found) if isinstance(found, h5py.Group) else found)[rows]
