"""Log-normalised expression, as an SCCVAE reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ._counts import are_counts
from ._data import place, read_blocks, read_csr, readable
from ._log import logger
from ._scale import scale_now, scale_of, tell

if TYPE_CHECKING:
    from anndata import AnnData

    from ._fitted import Fitted
    from ._scale import Scale


def source_of(
    adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None
) -> tuple[sparse.csr_matrix, list[str], Scale]:
    """Read expression as it is, say what it was taken for, and return it (CSR), the names of the genes and its scale.

    Raises
    ------
    ValueError
        Negative, NaN or infinite values.
    """
    names = readable(adata, use_raw)
    values = read_csr(adata, layer, use_raw, names)
    scale = scale_of(adata, layer, use_raw, log1p, values)
    tell(scale, adata, layer, use_raw, *_TAKEN_AS[scale.kind])
    return values, names, scale


_TAKEN_AS = {
    "counts": ("counts, normalised to one total and logged", ""),
    "linear": ("normalised values and logged", "Pass log1p=True if they are logarithms, log1p=False if not"),
    "log1p": ("log-normalised", "Pass log1p=False if they are not logarithms, log1p=True if they are"),
}


def check_normalize(scale: Scale, normalize: bool, layer: str | None, use_raw: bool) -> None:
    """Refuse counts that nobody has said to normalise, and other values that were said to be counts."""
    where = place(layer, use_raw)
    if scale.kind == "counts" and not normalize:
        raise ValueError(
            f"{where} holds counts, and model='sccvae' is trained on log-normalised values: pass normalize=True, "
            "or call sc.pp.normalize_total(adata) and sc.pp.log1p(adata) first."
        )
    if scale.kind != "counts" and normalize:
        raise ValueError(f"normalize=True is for counts, and {where} holds other values; leave it out.")


def take_log(values: sparse.csr_matrix, kind: str, totals: np.ndarray, target_sum: float | None) -> None:
    """Put values on the logarithmic scale, in place: counts are divided by the totals of cells over `target_sum`."""
    if kind == "log1p":
        return
    if kind == "counts" and target_sum is not None:
        factor = (target_sum / np.where(totals > 0, totals, 1.0)).astype(np.float32)
        values.data *= np.repeat(factor, np.diff(values.indptr))
    np.log1p(values.data, out=values.data)


def read_log_values(adata: AnnData, fitted: Fitted, rows: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the values of cells, over the genes of the model, as its fit has read them (CSR float32).

    Parameters
    ----------
    rows
        Which cells, in ascending order; None takes all.

    Raises
    ------
    ValueError
        There are counts where the fit has read normalised values, or it is not certain what is there now.
    """
    params = fitted.params
    layer, use_raw, kind = params.get("layer"), params["use_raw"], params["values"]
    counted = kind == "counts"
    names = readable(adata, use_raw) if counted else fitted.genes
    rows = np.arange(adata.n_obs) if rows is None else rows
    parts = []
    for first, block in read_blocks(adata, layer, use_raw, names):
        start, stop = np.searchsorted(rows, [first, first + block.shape[0]])
        parts.append(block if stop - start == block.shape[0] else block[rows[start:stop] - first])
    values = sparse.csr_matrix(parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr"))
    if not counted and values.nnz and are_counts(values):
        raise ValueError(
            f"The fit has read normalised values, and {place(layer, use_raw)} holds counts now; "
            "fit on a layer that keeps them."
        )
    now = scale_now(adata, params)
    base = float(params.get("log_base", now.base or math.e)) if kind == "log1p" else None
    if now.base is not None and now.base == base:
        return values
    now.to_linear(values)
    totals = np.asarray(values.sum(axis=1)).ravel()
    if counted:
        _compare_totals(len(names), params)
        position = {name: column for column, name in enumerate(names)}
        values = values[:, [position[gene] for gene in fitted.genes]]
    take_log(values, "counts" if counted else "linear", totals, params.get("target_sum"))
    values.data /= np.float32(1.0 if base is None else np.log(base))
    return values


def _compare_totals(n_genes: int, params: dict[str, Any]) -> None:
    """Warn where cells have other genes than those of the fit, over which counts were summed."""
    known = params.get("n_summed", n_genes)
    if n_genes != known:
        logger.warning(
            "The fit divided counts by their sum over %d genes, and here there are %d, so that values are on another "
            "scale than those it was trained on; keep all genes of the fit, or fit on normalised values.",
            known,
            n_genes,
        )
