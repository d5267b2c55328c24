"""Reading expression out of an AnnData: which matrix, which values, as CSR rows of non-negative numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from anndata import AnnData, ImplicitModificationWarning
from scipy import sparse

from .._compat import layer_names, lazy_rows
from .._rng import generator
from .._settings import settings
from ..models.rows import stacked
from . import keys
from .evidence import are_counts
from .messages import listed, say, unknown
from .remote import remote

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import Iterable, Iterator, MuData, Sequence


# Cells that decide what all are, and in how many runs they are read.
_SAMPLE, _RUNS = 256, 8
# Cells by which counts are known.
_FEW = 32


def unwrap(data: AnnData | MuData, mod: str = "rna") -> AnnData:
    """Return the AnnData that holds the genes: `data` itself, or modality `mod` of a MuData."""
    if isinstance(data, AnnData):
        if hasattr(data.obs, "to_memory"):
            _read_tables(data)
        return data
    modalities = getattr(data, "mod", None)
    if not isinstance(modalities, Mapping):  # pandas has a method of this name
        raise TypeError(f"Expected an AnnData or a MuData, got {type(data).__name__}.")
    if mod not in modalities:
        raise KeyError(f"{unknown('modality', [mod], modalities, 'the MuData')} It has {listed(modalities)}.")
    return modalities[mod]


def _read_tables(adata: AnnData) -> None:
    """Read what there is beside the matrices of a lazily read AnnData, as results are written into memory."""
    with warnings.catch_warnings():
        # A view of it becomes a copy, which takes no memory.
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        adata.obs, adata.var = adata.obs.to_memory(), adata.var.to_memory()
        adata.uns = _in_memory(adata.uns)
        for slot in (adata.obsm, adata.varm):
            slot.update(_in_memory(slot))


def _in_memory(value: Any) -> Any:
    if hasattr(value, "to_memory"):  # a table, which is a mapping too
        return value.to_memory()
    if isinstance(value, Mapping):
        return {name: _in_memory(one) for name, one in value.items()}
    return value.compute() if hasattr(value, "compute") else value


@dataclass(frozen=True)
class Source:
    """One matrix of an AnnData, of any array type: X, a layer or raw; KeyError, ValueError: none, or two chosen."""

    adata: AnnData
    layer: str | None = None
    use_raw: bool = False

    def __post_init__(self) -> None:
        if not self.adata.n_obs:
            raise ValueError("This AnnData has no cells.")
        if self.use_raw and self.layer is not None:
            raise ValueError(f"Choose one of use_raw=True and layer={self.layer!r}, not both.")
        if self.use_raw and self.adata.raw is None:
            raise ValueError("use_raw=True, but adata.raw is empty; leave it out, or name a layer.")
        if not self.use_raw and self.layer is None and self.adata.X is None:
            raise ValueError("adata.X is empty; name the layer that holds the expression, layer=...")
        if self.layer is not None and self.layer not in self.adata.layers:
            known = layer_names(self.adata)
            raise KeyError(f"{unknown('layer', [self.layer], known, 'adata.layers')} It has {listed(known) or 'none'}.")

    @property
    def matrix(self) -> Any:
        """Its values."""
        if self.use_raw:
            return self.adata.raw.X
        return self.adata.X if self.layer is None else self.adata.layers[self.layer]

    @property
    def names(self) -> pd.Index:
        """Names of its columns."""
        return self.adata.raw.var_names if self.use_raw else self.adata.var_names

    @property
    def genes(self) -> list[str]:
        """The genes that are read: of raw those in ``var_names``, as only these have a place beside X."""
        require_unique(self.adata.var_names)
        known = set(self.names) if self.use_raw else None
        return [name for name in self.adata.var_names if known is None or name in known]

    @property
    def keyword(self) -> str:
        """How a user chooses it."""
        return "use_raw=True" if self.use_raw else f"layer={self.layer!r}"

    def __str__(self) -> str:
        return "raw" if self.use_raw else "X" if self.layer is None else f"layers[{self.layer!r}]"

    def elsewhere(self) -> dict[str, Source]:
        """Return other matrices of the AnnData, by what they hold: counts, and values that are not negative."""
        found: dict[str, Source] = {}
        layers = sorted(layer_names(self.adata), key=lambda name: name != "counts")
        for layer, use_raw in [*((name, False) for name in layers), (None, True), (None, False)]:
            there = layer is not None or (self.adata.raw if use_raw else self.adata.X) is not None
            own = (layer, use_raw) == (self.layer, self.use_raw) or str(layer).startswith(f"{keys.DEFAULT}_")
            other = Source(self.adata, layer, use_raw) if there and not own else None
            if other is None or not np.issubdtype(other.matrix.dtype, np.number):
                continue
            some = other.sample(_FEW)
            if some.nnz and np.isfinite(some.data).all() and (some.data >= 0).all():
                found.setdefault("counts" if are_counts(some) else "values that are not negative", other)
        return found

    def sample(self, n_wanted: int = _SAMPLE, n_runs: int = _RUNS) -> sparse.csr_matrix:
        """Read some cells in a few runs, always the same, which is cheap from files as well."""
        rows, source = sample_rows(self.adata.n_obs, n_wanted, n_runs), self.matrix
        if sparse.issparse(source):
            source = source.tocsr()
        runs = [rows] if _by_genes(source) else np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        parts = [rows_of(source, slice(run[0], run[-1] + 1) if len(runs) > 1 else run) for run in runs if len(run)]
        found = sparse.csr_matrix(sparse.vstack(parts, format="csr")) if parts else _as_csr(source[:0])
        found.eliminate_zeros()
        return found

    def blocks(self, genes: Sequence[str] | None = None) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield values as CSR float32 without explicit zeros, in blocks with the row of the first; refuse others."""
        columns = self.columns(genes)
        for rows, block in row_blocks(self.matrix):
            with self.refusing():
                check_expression(block, rows.start)
            yield rows.start, cut(block, columns)

    def columns(self, genes: Sequence[str] | None) -> np.ndarray | None:
        """Return the columns of genes, None for all as they are; refuse names that are there twice."""
        require_unique(self.names, "raw.var_names" if self.use_raw else "var_names")
        if genes is None:
            return None
        columns = self.names.get_indexer(list(genes))
        if gone := [gene for gene, column in zip(genes, columns, strict=True) if column < 0]:
            where = "adata.raw" if self.use_raw else "var_names"
            raise KeyError(
                f"{where} lacks {len(gone)} of the {len(columns)} genes of the fit: {listed(gone)}; fit again."
            )
        return None if np.array_equal(columns, np.arange(len(self.names))) else columns

    def unread(self, genes: Sequence[str], edges: Sequence[int]) -> Iterator[Piece]:
        """Yield the cells between `edges` for other processes to read, in :meth:`refusing`."""
        columns, matrix = self.columns(genes), self.matrix
        for rows in starmap(slice, pairwise(edges)):
            yield Piece(remote(matrix, rows), rows, columns)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Say of a value that is not expression whose it is, and what to do."""
        try:
            yield
        except NotExpression as error:
            row, column, what = error.args
            remedy = "replace it by 0 or leave out the cell or gene"
            if what == _NEGATIVE:
                remedy = "fit on counts or normalised values, dko.tl.fit(adata, layer=...) or use_raw=True"
                for kind, other in sorted(self.elsewhere().items())[:1]:
                    remedy = f"{other} holds {kind}; use {other.keyword}"
            gene, cell = self.names[column], self.adata.obs_names[row]
            raise ValueError(f"Gene {gene!r} of cell {cell!r} has {what}; {remedy}.") from None


class NotExpression(ValueError):
    """A value that is not expression: its row and column, and what is wrong."""


_NEGATIVE = "a negative value (scaled data?)"


def check_expression(block: sparse.csr_matrix, first_row: int) -> None:
    """Refuse what is not expression, the first such value."""
    bad, what = ~np.isfinite(block.data), "a NaN or infinite value"
    if not bad.any():
        bad, what = block.data < 0, _NEGATIVE
    if bad.any():
        at = int(bad.argmax())
        row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        raise NotExpression(first_row + row, int(block.indices[at]), what)


def cut(block: sparse.csr_matrix, columns: np.ndarray | None) -> sparse.csr_matrix:
    """Return some columns, or all, of what may be a part of the source still, without explicit zeros."""
    found = block.copy() if columns is None else block[:, columns]
    found.eliminate_zeros()
    found.sort_indices()
    return found


class Piece(NamedTuple):
    """Some rows of a matrix that any process can read, and the columns that are wanted (None: all)."""

    matrix: Any
    rows: slice
    columns: np.ndarray | None

    def read(self) -> sparse.csr_matrix:
        """Read them as :meth:`Source.blocks` does."""
        block = _as_csr(self.matrix[self.rows])
        check_expression(block, self.rows.start)
        return cut(block, self.columns)


def sample_rows(n_rows: int, n_wanted: int = _SAMPLE, n_runs: int = _RUNS) -> np.ndarray:
    """Return some rows in a few runs, always the same."""
    if n_rows <= n_wanted:
        return np.arange(n_rows)
    length = n_wanted // n_runs
    runs = np.sort(generator(0).choice(n_rows // length, n_runs, replace=False))
    return (runs[:, None] * length + np.arange(length)).ravel()


def require_unique(names: pd.Index, where: str = "var_names") -> None:
    """Raise unless names are unique: results are found again by name."""
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        raise ValueError(f"{where} holds {listed(twice)} more than once; {_UNIQUE[where]}.")


_UNIQUE = {
    "obs_names": "call adata.obs_names_make_unique() first",
    "var_names": "call adata.var_names_make_unique() first",
    "raw.var_names": "set adata.raw again from an AnnData with unique names, or name a layer",
}


def row_blocks(source: Any) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Cut any matrix (numpy, CSR, CSC, backed, dask) into blocks of rows and yield each as CSR float32.

    They are as large as memory allows, as smaller ones of a file would have to be unpacked again and again.
    """
    if sparse.issparse(source):
        source = source.tocsr()
    total, n_columns = source.shape
    n_entries = source.nnz if sparse.issparse(source) else _n_stored(source)
    # Bytes of a row: dense, or of its entries, their copies on the way, and what is made of them.
    size = 8 * n_columns if n_entries is None else 64 * n_entries / max(1, total)
    step = max(1, int(settings.memory_budget / max(1, size)))
    ends = np.arange(step, total, step)
    source = lazy_rows(source) or source
    chunks = getattr(source, "numblocks", None) and source.chunks
    if chunks and len(chunks[1]) == 1:
        # Whole chunks of a dask array: of a part of one, all would be computed.
        edges = np.cumsum(chunks[0])
        ends = edges[np.unique(np.maximum(np.searchsorted(edges, ends, side="right") - 1, 0))]
    edges = np.unique([0, *ends, total])
    if _by_genes(source) and len(edges) > 2:
        say(
            f"These values lie in the file gene by gene (CSC), so it is read {len(edges) - 1} times; written as CSR it "
            "is read once. A larger dko.settings.memory_budget helps, too."
        )
    for rows in starmap(slice, pairwise(edges.tolist())):
        yield rows, rows_of(source, rows)


def _n_stored(source: Any) -> int | None:
    """Return how many entries a sparse matrix in a file has; None of others."""
    return source.group["data"].shape[0] if hasattr(source, "group") else None


def _by_genes(source: Any) -> bool:
    """Whether a matrix lies in a file gene by gene: then cells cannot be read without reading everything."""
    return hasattr(source, "group") and source.format == "csc"


def rows_of(source: Any, rows: slice | np.ndarray) -> sparse.csr_matrix:
    """Read some rows as CSR float32."""
    if not _by_genes(source):
        return _as_csr(source[rows])
    # Some genes at a time, or the file would be in memory as a whole.
    n_columns = source.shape[1]
    step = max(1, settings.memory_budget * n_columns // (32 * max(1, source.group["data"].shape[0])))
    parts = [source[:, first : first + step].tocsr()[rows] for first in range(0, n_columns, step)]
    return _as_csr(sparse.hstack(parts, format="csr"))


# Cells, at random, that stand for all where a method needs them at once.
MOST_CELLS = 20_000


def some_cells(cells: np.ndarray, rng: np.random.Generator, most: int | None = None) -> np.ndarray:
    """Return a mask of at most so many of the cells of a mask, at random; without a draw where there are no more."""
    most, rows = most or MOST_CELLS, np.flatnonzero(cells)
    if len(rows) <= most:
        return cells
    chosen = np.zeros(len(cells), dtype=bool)
    chosen[rng.choice(rows, most, replace=False)] = True
    return chosen


def read_rows(matrix: Any, cells: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the rows of a mask of any matrix, all by default, as CSR float32."""
    return chosen_rows(((rows.start, block) for rows, block in row_blocks(matrix)), cells)


def chosen_rows(blocks: Iterable[tuple[int, sparse.csr_matrix]], cells: np.ndarray | None = None) -> sparse.csr_matrix:
    """Put rows of blocks together, those of a mask, all by default."""
    return stacked(
        [block if cells is None else block[cells[first : first + block.shape[0]]] for first, block in blocks]
    )


def _as_csr(block: Any) -> sparse.csr_matrix:
    """Return rows of any kind as CSR float32, which may share memory with them."""
    block = block.compute() if hasattr(block, "compute") else block
    block = block if sparse.issparse(block) else np.asarray(block)
    found = sparse.csr_matrix(block.astype(np.float32, copy=False), copy=False)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def read_basis(adata: AnnData, basis: str) -> tuple[str, np.ndarray]:
    """Return the name of an embedding without its ``X_``, and its first two dimensions (float64, cells x 2)."""
    short = basis.removeprefix("X_")
    known = [name for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray) and adata.obsm[name].shape[1] > 1]
    for name in (basis, f"X_{basis}"):
        if name in known:
            return short, np.asarray(adata.obsm[name][:, :2], dtype=float)
    there = f"there are {listed(known)}" if known else "there is none; run sc.tl.umap(adata) first"
    raise KeyError(f"No embedding {basis!r} in adata.obsm; {there}.")
