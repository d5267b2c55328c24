"""Reading expression out of an AnnData: which matrix, which values, as CSR rows of non-negative numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._compat import layer_names
from ._errors import listed, unknown
from ._log import say
from ._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from mudata import MuData

# No log1p of a UMI count or of a normalised value exceeds this: expm1(30) is ten million million.
_LARGEST_LOG1P = 30.0
# Relative distance from a whole number that single precision leaves after a logarithm and back.
_WHOLE = 1e-3


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


def matrix(adata: AnnData, layer: str | None, use_raw: bool) -> tuple[Any, pd.Index]:
    """Return the matrix of values that a user chose, of any array type, and the names of its columns."""
    if use_raw and layer is not None:
        raise ValueError(f"Choose one of use_raw=True and layer={layer!r}, not both.")
    if use_raw:
        if adata.raw is None:
            raise ValueError("use_raw=True, but adata.raw is empty; leave it out, or name a layer.")
        return adata.raw.X, adata.raw.var_names
    if layer is None:
        if adata.X is None:
            raise ValueError("adata.X is empty; name the layer that holds the expression, layer=...")
        return adata.X, adata.var_names
    if layer not in adata.layers:
        known = layer_names(adata)
        raise KeyError(f"{unknown('layer', [layer], known, 'adata.layers')} It has {listed(known) or 'none'}.")
    return adata.layers[layer], adata.var_names


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


def read_csr(adata: AnnData, layer: str | None, use_raw: bool, genes: Sequence[str] | None = None) -> sparse.csr_matrix:
    """Read values as CSR float32, cells x `genes`, whatever the array type of the source.

    Explicit zeros are dropped, so that the pattern says which genes are present.

    Raises
    ------
    ValueError
        Where a value is negative, NaN or infinite.
    """
    blocks = [block for _, block in read_blocks(adata, layer, use_raw, genes)]
    return sparse.csr_matrix(blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr"))


def read_blocks(
    adata: AnnData, layer: str | None, use_raw: bool, genes: Sequence[str] | None = None, n_rows: int | None = None
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield the same in blocks of cells with the row of the first, `n_rows` each or as many as fit into memory."""
    source, names = matrix(adata, layer, use_raw)
    if not adata.n_obs:
        raise ValueError("This AnnData has no cells.")
    require_unique(names, "raw.var_names" if use_raw else "var_names")
    columns = None if genes is None else names.get_indexer(list(genes))
    if columns is not None and (columns < 0).any():
        gone = [gene for gene, column in zip(genes or [], columns, strict=True) if column < 0]
        where = "adata.raw" if use_raw else "var_names"
        raise KeyError(f"{where} lacks {len(gone)} of the {len(columns)} genes of the fit: {listed(gone)}; fit again.")
    whole = columns is None or np.array_equal(columns, np.arange(len(names)))
    for rows, block in _row_blocks(source, n_rows):
        _check_values(block, rows.start, adata.obs_names, names)
        # A block may be a part of the source still.
        block = block.copy() if whole else block[:, columns]
        block.eliminate_zeros()
        block.sort_indices()
        yield rows.start, block


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


def _check_values(block: sparse.csr_matrix, first_row: int, obs_names: pd.Index, var_names: pd.Index) -> None:
    """Refuse what is not expression, and name the first place."""
    bad = ~np.isfinite(block.data)
    if bad.any():
        what, remedy = "a NaN or infinite value", "replace it by 0 or leave out the cell or gene"
    else:
        bad = block.data < 0
        what, remedy = (
            "a negative value (scaled data?)",
            "fit on counts or normalised values, dko.tl.fit(adata, layer=...) or use_raw=True",
        )
    if not bad.any():
        return
    at = int(bad.argmax())
    row = first_row + int(np.searchsorted(block.indptr, at, side="right")) - 1
    raise ValueError(f"Gene {var_names[block.indices[at]]!r} of cell {obs_names[row]!r} has {what}; {remedy}.")


@dataclass(frozen=True)
class Expression:
    """Expression on a linear scale.

    Attributes
    ----------
    values
        CSR float32, cells x genes.
    genes
        Names of the columns, all of them in ``var_names``.
    kind
        What the source held: ``"counts"``, ``"linear"`` (normalised values) or ``"log1p"``.
    log_base
        Base of the log1p values, which have been turned back; None if it held none.
    """

    values: sparse.csr_matrix
    genes: list[str]
    kind: str
    log_base: float | None

    @property
    def log1p(self) -> bool:
        """Whether the source held log1p values."""
        return self.log_base is not None


def read_expression(adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None) -> Expression:
    """Read expression on a linear scale, and say what the values were taken for."""
    require_unique(adata.var_names)
    names = list(adata.var_names)
    if use_raw and adata.raw is not None:
        # Results are written beside X, so only genes that are in var_names have a place.
        names = [name for name in names if name in adata.raw.var_names]
        if len(names) < adata.raw.n_vars:
            say(f"Of the {adata.raw.n_vars} genes of raw, {len(names)} are in var_names and can be taken.")
    values = read_csr(adata, layer, use_raw, names)
    where = "raw" if use_raw else "X" if layer is None else f"layer {layer!r}"
    base = log_base(values, adata, log1p)
    kind = "log1p" if base is not None else "counts" if are_counts(values) else "linear"
    if base is not None:
        take_log_back(values, base)
    say(f"Values of {where}: taken as {_TAKEN_AS[kind]}.")
    return Expression(values, names, kind, base)


_TAKEN_AS = {
    "counts": "counts",
    "linear": "normalised values, not logarithms (log1p=True if they are)",
    "log1p": "log1p and turned back (log1p=False if they are not)",
}


def linear_again(values: sparse.csr_matrix, adata: AnnData, kind: str, base: float | None) -> None:
    """Put values that a fit has read, as they are now, on a linear scale, in place.

    Counts may have been normalised and logged since, which leaves scanpy's mark; what was something else at the fit
    is still that, or counts.
    """
    if are_counts(values) or float(values.data.max(initial=0.0)) > _LARGEST_LOG1P:
        return
    base = log_base(values, adata, None) if kind == "counts" else base
    if base is not None:
        take_log_back(values, base)


def log_base(values: sparse.csr_matrix, adata: AnnData, log1p: bool | None) -> float | None:
    """Find out whether values are log1p values, and return the base of the logarithm, or None if they are not.

    Integers are counts. Other values are logarithms where scanpy has left its mark, or where the user says so.
    """
    mark = adata.uns.get("log1p")
    if log1p is None:
        largest = float(values.data.max(initial=0.0))
        log1p = mark is not None and largest <= _LARGEST_LOG1P and not are_counts(values)
    if not log1p:
        return None
    base = mark.get("base") if isinstance(mark, Mapping) else None
    return float(np.e if base is None else base)


def are_counts(values: sparse.csr_matrix) -> bool:
    """Whether all values are integers."""
    return bool(np.all(values.data == np.rint(values.data)))


def counts_again(values: sparse.csr_matrix) -> sparse.csr_matrix | None:
    """Return the counts that values were before each cell was normalised; None where they cannot be made out.

    In nearly every cell some gene has been counted once: the least value of a cell is one count, if all others are
    whole multiples of it.
    """
    if are_counts(values):
        return values
    least = np.minimum.reduceat(np.append(values.data, np.inf), values.indptr[:-1])
    ratio = values.data / np.repeat(least, np.diff(values.indptr))
    counts = np.rint(ratio)
    if (np.abs(ratio - counts) > _WHOLE * counts).any():
        return None
    return sparse.csr_matrix((counts, values.indices, values.indptr), shape=values.shape)


def take_log_back(values: sparse.csr_matrix, base: float) -> None:
    """Turn log1p values, in place, into values on a linear scale."""
    largest = float(values.data.max(initial=0.0))
    if largest > _LARGEST_LOG1P:
        raise ValueError(f"These are no log1p values: the largest is {largest:.4g}; say so with log1p=False.")
    values.data = np.expm1(values.data.astype(np.float64) * np.log(base)).astype(np.float32)


def profiles(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum: the relative expression of a cell, 0 where it expresses nothing."""
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    relative = values.copy()
    relative.data = (values.data / np.repeat(totals, np.diff(values.indptr))).astype(np.float32)
    return relative
