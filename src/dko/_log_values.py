"""Log-normalised expression, as an SCCVAE reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ._data import are_counts, read_blocks, read_csr, require_unique
from ._log import logger, say

if TYPE_CHECKING:
    from anndata import AnnData

    from ._fitted import Fitted

# Where, with log1p=None, values are taken for logarithms that bear no mark.
_LARGEST_LOG1P = 30.0


def source_of(
    adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None, normalize: bool
) -> tuple[sparse.csr_matrix, list[str], str]:
    """Read expression as it is, and find out what it is.

    Returns
    -------
    The values (CSR float32, cells x genes), the names of the genes, and the kind: ``"counts"`` (to be normalised),
    ``"linear"`` (normalised, to be logged) or ``"log1p"``.

    Raises
    ------
    ValueError
        Counts, unless `normalize` is set; anything else with `normalize`; negative, NaN or infinite values.
    """
    names = _names(adata, use_raw)
    values, where = read_csr(adata, layer, use_raw, names), _where(layer, use_raw)
    if are_counts(values):
        if not normalize:
            raise ValueError(
                f"{where} holds counts, and model='sccvae' is trained on log-normalised values: pass normalize=True, "
                "or call sc.pp.normalize_total(adata) and sc.pp.log1p(adata) first."
            )
        say(f"Values of {where}: counts, normalised to one total and logged.")
        return values, names, "counts"
    if normalize:
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


def read_log_values(adata: AnnData, fitted: Fitted, rows: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the values of cells, over the genes of the model, as its fit has read them (CSR float32).

    Parameters
    ----------
    rows
        Which cells, in ascending order; None takes all.

    Raises
    ------
    ValueError
        There are counts where the fit has read other values, or the other way round.
    """
    params = fitted.params
    layer, use_raw, kind = params.get("layer"), params["use_raw"], params["values"]
    counted = kind == "counts"
    names = _names(adata, use_raw) if counted else fitted.genes
    rows = np.arange(adata.n_obs) if rows is None else rows
    parts = []
    for first, block in read_blocks(adata, layer, use_raw, names):
        start, stop = np.searchsorted(rows, [first, first + block.shape[0]])
        parts.append(block if stop - start == block.shape[0] else block[rows[start:stop] - first])
    values = sparse.csr_matrix(parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr"))
    if values.nnz and are_counts(values) != counted:
        before, now = ("counts", "other values") if counted else ("normalised values", "counts")
        raise ValueError(
            f"The fit has read {before}, and {_where(layer, use_raw)} holds {now} now; fit on a layer that keeps them."
        )
    totals = np.asarray(values.sum(axis=1)).ravel()
    if counted:
        _compare_totals(len(names), params)
        position = {name: column for column, name in enumerate(names)}
        values = values[:, [position[gene] for gene in fitted.genes]]
    take_log(values, kind, totals, params.get("target_sum"))
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


def _names(adata: AnnData, use_raw: bool) -> list[str]:
    """Return the genes that are read: of raw, those that are in ``var_names``."""
    require_unique(adata.var_names)
    names = list(adata.var_names)
    return [name for name in names if name in adata.raw.var_names] if use_raw and adata.raw is not None else names


def _where(layer: str | None, use_raw: bool) -> str:
    return "raw" if use_raw else "X" if layer is None else f"layer {layer!r}"
