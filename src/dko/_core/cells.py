"""Reading expression out of an AnnData: which matrix, which values, as CSR rows of non-negative numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from .._compat import layer_names
from .._rng import generator
from .._settings import settings
from . import keys
from .evidence import are_counts
from .messages import listed, unknown

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import Iterator, MuData, Sequence


# Cells that decide what all are, and in how many runs they are read.
_SAMPLE, _RUNS = 256, 8
# Cells by which counts are known.
_FEW = 32


def unwrap(data: AnnData | MuData, mod: str = "rna") -> AnnData:
    """Return the AnnData that holds the genes: `data` itself, or modality `mod` of a MuData."""
    if isinstance(data, AnnData):
        return data
    modalities = getattr(data, "mod", None)
    if not isinstance(modalities, Mapping):  # pandas has a method of this name
        raise TypeError(f"Expected an AnnData or a MuData, got {type(data).__name__}.")
    if mod not in modalities:
        raise KeyError(f"{unknown('modality', [mod], modalities, 'the MuData')} It has {listed(modalities)}.")
    return modalities[mod]


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
        rows = sample_rows(self.adata.n_obs, n_wanted, n_runs)
        source = self.matrix.tocsr() if sparse.issparse(self.matrix) else self.matrix
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        parts = [_as_csr(source[run[0] : run[-1] + 1]) for run in runs if len(run)]
        found = sparse.csr_matrix(sparse.vstack(parts, format="csr")) if parts else _as_csr(source[:0])
        found.eliminate_zeros()
        return found

    def read(self, genes: Sequence[str] | None = None) -> sparse.csr_matrix:
        """Read values as CSR float32, cells x `genes`, as :meth:`blocks` does, in one piece."""
        blocks = [block for _, block in self.blocks(genes)]
        return sparse.csr_matrix(blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr"))

    def blocks(
        self, genes: Sequence[str] | None = None, n_rows: int | None = None
    ) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield values as CSR float32 without explicit zeros, in blocks with the row of the first; refuse others."""
        require_unique(self.names, "raw.var_names" if self.use_raw else "var_names")
        columns = None if genes is None else self._columns(genes)
        whole = columns is None or np.array_equal(columns, np.arange(len(self.names)))
        for rows, block in _row_blocks(self.matrix, n_rows):
            self._check(block, rows.start)
            # A block may be a part of the source still.
            block = block.copy() if whole else block[:, columns]
            block.eliminate_zeros()
            block.sort_indices()
            yield rows.start, block

    def _columns(self, genes: Sequence[str]) -> np.ndarray:
        columns = self.names.get_indexer(list(genes))
        if gone := [gene for gene, column in zip(genes, columns, strict=True) if column < 0]:
            where = "adata.raw" if self.use_raw else "var_names"
            raise KeyError(
                f"{where} lacks {len(gone)} of the {len(columns)} genes of the fit: {listed(gone)}; fit again."
            )
        return columns

    def _check(self, block: sparse.csr_matrix, first_row: int) -> None:
        """Refuse what is not expression, and name the first place."""
        bad = ~np.isfinite(block.data)
        what, remedy = "a NaN or infinite value", "replace it by 0 or leave out the cell or gene"
        if not bad.any():
            bad = block.data < 0
            if not bad.any():
                return
            what = "a negative value (scaled data?)"
            remedy = "fit on counts or normalised values, dko.tl.fit(adata, layer=...) or use_raw=True"
            for kind, other in sorted(self.elsewhere().items())[:1]:
                remedy = f"{other} holds {kind}, take them by {other.keyword}"
        at = int(bad.argmax())
        row = first_row + int(np.searchsorted(block.indptr, at, side="right")) - 1
        gene, cell = self.names[block.indices[at]], self.adata.obs_names[row]
        raise ValueError(f"Gene {gene!r} of cell {cell!r} has {what}; {remedy}.")


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


def _row_blocks(source: Any, step: int | None = None) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Cut any matrix (numpy, CSR, CSC, backed, dask) into blocks of rows and yield each as CSR float32."""
    n_rows, n_columns = source.shape
    if sparse.issparse(source):
        source = source.tocsr()
    if step is None:
        # Bytes of a row: dense, or of its entries, their copies on the way, and what is made of them.
        size = 64 * source.nnz / max(1, n_rows) if sparse.issparse(source) else 8 * n_columns
        step = max(1, int(settings.memory_budget / max(1, size)))
    for start in range(0, n_rows, step):
        rows = slice(start, min(start + step, n_rows))
        yield rows, _as_csr(source[rows])


def _as_csr(block: Any) -> sparse.csr_matrix:
    """Return rows of any kind as CSR float32, which may share memory with them."""
    block = block.compute() if hasattr(block, "compute") else block
    block = block if sparse.issparse(block) else np.asarray(block)
    found = sparse.csr_matrix(block.astype(np.float32, copy=False), copy=False)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def profiles(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum: the relative expression of a cell, 0 where it expresses nothing."""
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    relative = values.copy()
    relative.data = (values.data / np.repeat(totals, np.diff(values.indptr))).astype(np.float32)
    return relative


def read_basis(adata: AnnData, basis: str) -> tuple[str, np.ndarray]:
    """Return the name of an embedding without its ``X_``, and its first two dimensions (float64, cells x 2)."""
    short = basis.removeprefix("X_")
    known = [name for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray) and adata.obsm[name].shape[1] > 1]
    for name in (basis, f"X_{basis}"):
        if name in known:
            return short, np.asarray(adata.obsm[name][:, :2], dtype=float)
    there = f"there are {listed(known)}" if known else "there is none; run sc.tl.umap(adata) first"
    raise KeyError(f"No embedding {basis!r} in adata.obsm; {there}.")
