"""Cells that may be more than fit into memory: rows of a CSR matrix, in memory or in a scratch file, read as needed."""

from __future__ import annotations

import tempfile
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from weakref import finalize

import numpy as np
from scipy import sparse

from .._settings import settings
from .base import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_ENTRY = np.dtype([("gene", np.int32), ("value", np.float32)])


class Rows(Protocol):
    """Values of cells, cells x genes, of which some rows at a time are asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""

    def __getitem__(self, rows: np.ndarray | slice, /) -> sparse.csr_matrix:
        """Return some rows, in the order they are asked for, as CSR float32."""


class StoredRows:
    """Rows in a scratch file, which has no name and is gone when nobody needs it; threads may read at once."""

    def __init__(self, n_genes: int):
        self._n_genes, self._lock = n_genes, Lock()
        self._file = tempfile.TemporaryFile(prefix="dko-", buffering=0)
        finalize(self, self._file.close)
        self._ends = np.zeros(1, dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return len(self._ends) - 1, self._n_genes

    @property
    def sizes(self) -> np.ndarray:
        """Number of entries of each row."""
        return np.diff(self._ends)

    def append(self, block: sparse.csr_matrix) -> None:
        """Add rows; OSError: the folder of scratch files is full."""
        entries = np.empty(block.nnz, dtype=_ENTRY)
        entries["gene"], entries["value"] = block.indices, block.data
        try:
            self._write(_bytes(entries))
        except OSError as error:
            folder, size = tempfile.gettempdir(), self._ends[-1] * _ENTRY.itemsize / 2**30
            raise OSError(
                error.errno,
                f"Cells that do not fit into memory are kept in a scratch file, and {folder} has no room for more than "
                f"{size:.1f} GiB; set the environment variable TMPDIR to a folder that has, or raise "
                "dko.settings.memory_budget",
            ) from error
        self._ends = np.concatenate([self._ends, self._ends[-1] + block.indptr[1:]])

    def _write(self, left: memoryview) -> None:
        while left:
            left = left[self._file.write(left) :]

    def __getitem__(self, rows: np.ndarray | slice) -> sparse.csr_matrix:
        """Return some rows, in the order they are asked for, as CSR float32."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.shape[0]))
        # The file is read from its beginning to its end, a run of neighbours at a time.
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        runs = np.split(ascending, np.flatnonzero(np.diff(ascending) != 1) + 1)
        sizes = self.sizes[ascending]
        entries = np.empty(sizes.sum(), dtype=_ENTRY)
        left = _bytes(entries)
        with self._lock:
            for run in runs:
                if len(run):
                    left = self._read(left, self._ends[run[0]], self._ends[run[-1] + 1])
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        genes, values = (np.ascontiguousarray(entries[name]) for name in ("gene", "value"))
        found = sparse.csr_matrix((values, genes, indptr), shape=(len(rows), self._n_genes))
        return found if np.array_equal(order, np.arange(len(order))) else found[np.argsort(order)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as entries, which it may map into memory, as it cannot open a file without a name."""
        entries = np.memmap(self._file, _ENTRY, "r", shape=(int(self._ends[-1]),))
        return MappedRows, (entries, self._ends, self._n_genes)

    def _read(self, into: memoryview, start: int, stop: int) -> memoryview:
        """Read entries into the beginning of a buffer, and return the rest of it."""
        self._file.seek(start * _ENTRY.itemsize)
        n_left = int(stop - start) * _ENTRY.itemsize
        while n_left:
            n = self._file.readinto(into[:n_left])
            if not n:
                raise OSError("A scratch file ends before the cells that were written to it; run it again.")
            into, n_left = into[n:], n_left - n
        return into


class MappedRows(StoredRows):
    """The same in another process."""

    def __init__(self, entries: np.ndarray, ends: np.ndarray, n_genes: int):
        self._entries, self._ends, self._n_genes, self._lock = entries, ends, n_genes, Lock()

    def _read(self, into: memoryview, start: int, stop: int) -> memoryview:
        n_bytes = int(stop - start) * _ENTRY.itemsize
        into[:n_bytes] = _bytes(self._entries[start:stop])
        return into[n_bytes:]


def _bytes(entries: np.ndarray) -> memoryview:
    return memoryview(entries.view(np.uint8))  # type: ignore[arg-type]


class View:
    """Some rows of others, and what is made of them when they are read."""

    def __init__(
        self,
        values: Rows,
        rows: np.ndarray,
        make: Callable[[sparse.csr_matrix], sparse.csr_matrix] = sparse.csr_matrix,
    ):
        self._values, self._rows, self._make = values, rows, make

    @property
    def shape(self) -> tuple[int, int]:
        """Number of these cells and of genes."""
        return len(self._rows), self._values.shape[1]

    @property
    def sizes(self) -> np.ndarray:
        """Number of entries of each row."""
        return sizes_of(self._values)[self._rows]

    def __getitem__(self, rows: np.ndarray | slice) -> sparse.csr_matrix:
        """Return some of these rows, in the order they are asked for, as CSR float32."""
        return self._make(self._values[self._rows[rows]])


def sizes_of(values: Any) -> np.ndarray:
    """Return how many genes each cell expresses."""
    return np.diff(values.indptr) if sparse.issparse(values) else values.sizes


def kept(blocks: Iterable[sparse.csr_matrix], n_genes: int) -> Rows:
    """Keep all rows: in memory or, where they are more than the memory budget, in a scratch file."""
    parts: list[sparse.csr_matrix] = []
    stored, size = None, 0
    for block in blocks:
        size += _ENTRY.itemsize * block.nnz
        parts.append(block)
        if stored is not None or size > settings.memory_budget:
            stored = StoredRows(n_genes) if stored is None else stored
            for part in parts:
                stored.append(part)
            parts = []
    if stored is not None:
        return stored
    return stacked(parts)


def stacked(blocks: Sequence[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Put blocks of rows into one matrix."""
    return sparse.csr_matrix(blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr"))


def profiles(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum: the relative expression of a cell, 0 where it expresses nothing."""
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    relative = values.copy()
    relative.data = (values.data / np.repeat(totals, np.diff(values.indptr))).astype(np.float32)
    return relative


def blocks_of(values: Rows, n_bytes: int) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Yield all rows in blocks of as many as fit into memory, where `n_bytes` are made of each entry."""
    n_rows, n_entries = values.shape[0], sizes_of(values).sum()
    for rows in pieces(n_rows, n_bytes * (1 + int(n_entries) // max(1, n_rows))):
        yield rows, values[rows]


def mean_of(values: Rows) -> np.ndarray:
    """Return the mean of each gene, float64."""
    sums = np.zeros(values.shape[1])
    for _, block in blocks_of(values, _ENTRY.itemsize):
        sums += np.bincount(block.indices, block.data, len(sums))
    return sums / values.shape[0]
