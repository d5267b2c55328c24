"""Reading expression on a linear scale, as the first model does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._data import read_csr, readable
from ._log import say
from ._scale import Scale, scale_of, tell

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse


@dataclass(frozen=True)
class Expression:
    """Expression on a linear scale.

    Attributes
    ----------
    values
        CSR float32, cells x genes.
    genes
        Names of the columns, all of them in ``var_names``.
    scale
        What the source held; logarithms have been turned back.
    """

    values: sparse.csr_matrix
    genes: list[str]
    scale: Scale


def read_expression(adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None) -> Expression:
    """Read expression on a linear scale, and say what the values were taken for."""
    names = readable(adata, use_raw)
    if use_raw and adata.raw is not None and len(names) < adata.raw.n_vars:
        say(f"Of the {adata.raw.n_vars} genes of raw, {len(names)} are in var_names and can be taken.")
    values = read_csr(adata, layer, use_raw, names)
    scale = scale_of(adata, layer, use_raw, log1p, values)
    scale.to_linear(values)
    tell(scale, adata, layer, use_raw, *_TAKEN_AS[scale.kind], counts=True)
    return Expression(values, names, scale)


_TAKEN_AS = {
    "counts": ("counts", ""),
    "linear": ("normalised values, not logarithms", "Pass log1p=True if they are logarithms, log1p=False if not"),
    "log1p": ("log1p and turned back", "Pass log1p=False if they are not logarithms, log1p=True if they are"),
}
