"""The other matrices of an AnnData that hold the same expression: layers, raw and X."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._compat import layer_names
from ._counts import are_counts
from ._data import row_blocks, sample_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData

# Cells by which counts are known.
_FEW = 32


def other_matrices(adata: AnnData, layer: str | None, use_raw: bool) -> Iterator[tuple[str, Any, pd.Index]]:
    """Yield the name, the matrix and the names of the columns of all matrices but the one that was chosen."""
    for name in sorted(layer_names(adata), key=lambda name: name != "counts"):
        if use_raw or name != layer:
            yield f"layers[{name!r}]", adata.layers[name], adata.var_names
    if not use_raw and adata.raw is not None:
        yield "raw", adata.raw.X, adata.raw.var_names
    if (use_raw or layer is not None) and adata.X is not None:
        yield "X", adata.X, adata.var_names


def counts_elsewhere(adata: AnnData, layer: str | None, use_raw: bool) -> tuple[str, str] | None:
    """Return another matrix that holds counts, and the keyword that takes it."""
    return _elsewhere(adata, layer, use_raw, counts=True)


def expression_elsewhere(adata: AnnData, layer: str | None, use_raw: bool) -> str | None:
    """Say which other matrix holds counts, or else values that are nowhere negative."""
    for counts, what in ((True, "counts"), (False, "values that are not negative")):
        if found := _elsewhere(adata, layer, use_raw, counts=counts):
            return f"{found[0]} holds {what}, take them by {found[1]}"
    return None


def _elsewhere(adata: AnnData, layer: str | None, use_raw: bool, *, counts: bool) -> tuple[str, str] | None:
    for name, source, _ in other_matrices(adata, layer, use_raw):
        if not np.issubdtype(source.dtype, np.number) or name.startswith("layers['dko_"):
            continue
        some = row_blocks(source, sample_rows(source.shape[0], _FEW))
        if some.nnz and np.isfinite(some.data).all() and (some.data >= 0).all() and (not counts or are_counts(some)):
            keyword = "use_raw=True" if name == "raw" else "layer=None" if name == "X" else f"layer={name[7:-1]}"
            return name, keyword
    return None
