"""Log-normalised expression, as an SCCVAE reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ._data import are_counts, read_csr, require_unique
from ._log import say

if TYPE_CHECKING:
    from anndata import AnnData

    from ._fitted import Fitted

# Where, with log1p=None, values are taken for logarithms that bear no mark.
_LARGEST_LOG1P = 30.0


def source_of(
    adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None, normalize: bool, *, quiet: bool = False
) -> tuple[sparse.csr_matrix, list[str], str]:
    """Read expression as it is, and find out what it is.

    Returns
    -------
    The values (CSR float32, cells x genes), the names of the genes, and the kind: ``"counts"`` (to be normalised),
    ``"linear"`` (normalised, to be logged) or ``"log1p"``.

    With `quiet`, values are read again that a fit has read before, and nothing is said.

    Raises
    ------
    ValueError
        Counts, unless `normalize` is set; anything else with `normalize`; negative, NaN or infinite values.
    """
    require_unique(adata.var_names)
    names = list(adata.var_names)
    if use_raw and adata.raw is not None:
        names = [name for name in names if name in adata.raw.var_names]
    values = read_csr(adata, layer, use_raw, names)
    where = "raw" if use_raw else "X" if layer is None else f"layer {layer!r}"
    if are_counts(values):
        if not normalize:
            raise ValueError(
                f"{where} holds counts, and model='sccvae' is trained on log-normalised values: pass normalize=True, "
                "or call sc.pp.normalize_total(adata) and sc.pp.log1p(adata) first."
            )
        if not quiet:
            say(f"Values of {where}: counts, normalised to one total and logged.")
        return values, names, "counts"
    if normalize:
        if quiet:
            raise ValueError(
                f"The fit has read counts, and {where} holds other values now; fit on a layer that keeps them."
            )
        raise ValueError(f"normalize=True is for counts, and {where} holds other values; leave it out.")
    largest = float(values.data.max(initial=0.0))
    if log1p and largest > _LARGEST_LOG1P:
        raise ValueError(f"These are no log1p values: the largest is {largest:.4g}; say so with log1p=False.")
    linear = log1p is False or (log1p is None and largest > _LARGEST_LOG1P)
    kind = "linear" if linear else "log1p"
    say(f"Values of {where}: taken as {_TAKEN_AS[kind]}.")
    return values, names, kind


_TAKEN_AS = {
    "linear": "normalised values and logged (log1p=True if they are logarithms)",
    "log1p": "log-normalised (log1p=False if they are no logarithms)",
}


def take_log(values: sparse.csr_matrix, kind: str, totals: np.ndarray, target_sum: float | None) -> None:
    """Put values on the logarithmic scale, in place: counts are divided by the totals of cells over `target_sum`."""
    if kind == "log1p":
        return
    if kind == "counts" and target_sum is not None:
        factor = (target_sum / np.maximum(totals, 1.0)).astype(np.float32)
        values.data *= np.repeat(factor, np.diff(values.indptr))
    np.log1p(values.data, out=values.data)


def read_log_values(adata: AnnData, fitted: Fitted) -> sparse.csr_matrix:
    """Read the values of all cells, over the genes of the model, as its fit has read them (CSR float32)."""
    params = fitted.params
    layer, use_raw, kind = params.get("layer"), params["use_raw"], params["values"]
    if kind != "counts":
        found, totals, target_sum = read_csr(adata, layer, use_raw, fitted.genes), np.empty(0), None
    else:
        values, names, _ = source_of(adata, layer, use_raw, None, normalize=True, quiet=True)
        totals, target_sum = np.asarray(values.sum(axis=1)).ravel(), params["target_sum"]
        position = {name: column for column, name in enumerate(names)}
        found = values[:, [position[gene] for gene in fitted.genes]]
    take_log(found, kind, totals, target_sum)
    return found
