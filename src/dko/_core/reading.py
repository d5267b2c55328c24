"""What a model reads of cells: the values of their matrix on the scale of its fit, block by block, in any process."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..models.base import like
from ..models.rows import profiles
from .cells import chosen_rows
from .messages import logger
from .scale import Scale, once, scale_now, source_of, take_log

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import AnnData, Callable, Fitted, Iterator

    Take: TypeAlias = Callable[[sparse.csr_matrix], sparse.csr_matrix]


def read_blocks(adata: AnnData, fitted: Fitted, reads: str) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield cells x genes of the model (CSR float32) with the row of the first, in blocks that fit into memory.

    They are as a model takes them that `reads` this, see :class:`dko.models.Model`, or ``"linear"``: values that are no
    logarithms. ValueError: it is not certain that they are what the fit has read.
    """
    take = None
    for first, block in source_of(adata, fitted.params).blocks(genes_read(adata, fitted, reads)):
        # After the first values have been found to be expression.
        take = take or taking(adata, fitted, reads)
        yield first, take(block)


def genes_read(adata: AnnData, fitted: Fitted, reads: str) -> list[str]:
    """Return the genes that have to be read: counts are summed over all, as they were at the fit."""
    return source_of(adata, fitted.params).genes if _is_summed(fitted, reads) else fitted.genes


def taking(adata: AnnData, fitted: Fitted, reads: str) -> Take:
    """Return what makes, of the values of such genes, what :func:`read_blocks` yields; it can go to other processes."""
    if reads == "presence":
        return _present
    scale = scale_now(adata, fitted.params)
    if reads != "log":
        return partial(_linear, scale=scale, relative=reads == "profiles")
    params, source = fitted.params, source_of(adata, fitted.params)
    if _is_summed(fitted, reads):
        source.columns(fitted.genes)  # it says which genes are gone, of raw
        names = source.genes
        if len(names) != (n_summed := params.get("n_summed", len(names))):
            once(
                adata,
                f"The fit divided counts by their sum over {n_summed} genes, and here there are {len(names)}, so that "
                "values are on another scale than those it was trained on; keep all genes of the fit, or fit on "
                "normalised values.",
                logger.warning,
            )
        position = {name: column for column, name in enumerate(names)}
        columns = np.array([position[gene] for gene in fitted.genes])
        return partial(_logged_counts, scale=scale, target_sum=params.get("target_sum"), columns=columns)
    if scale.kind == "counts":
        raise ValueError(
            f"The fit has read normalised values, and {source} holds counts now; fit on a layer that keeps them."
        )
    base = float(params.get("log_base", scale.base or math.e)) if params["values"] == "log1p" else None
    return partial(_logged, scale=scale, base=base)


def _is_summed(fitted: Fitted, reads: str) -> bool:
    return reads == "log" and fitted.params["values"] == "counts"


def _present(values: sparse.csr_matrix) -> sparse.csr_matrix:
    return like(values, np.ones_like(values.data))


def _linear(values: sparse.csr_matrix, scale: Scale, *, relative: bool) -> sparse.csr_matrix:
    scale.to_linear(values)
    return profiles(values) if relative else values


def _logged(values: sparse.csr_matrix, scale: Scale, base: float | None) -> sparse.csr_matrix:
    if scale.base is None or scale.base != base:
        scale.to_linear(values)
        np.log1p(values.data, out=values.data)
        values.data /= np.float32(1.0 if base is None else np.log(base))
    return values


def _logged_counts(
    values: sparse.csr_matrix, scale: Scale, target_sum: float | None, columns: np.ndarray
) -> sparse.csr_matrix:
    scale.to_linear(values)
    totals = np.asarray(values.sum(axis=1)).ravel()
    values = values[:, columns]
    take_log(values, "counts", totals, target_sum)
    return values


def read_profiles(adata: AnnData, fitted: Fitted, cells: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the observed relative profiles of cells (a mask) over the genes of the model, CSR float32."""
    return chosen_rows(read_blocks(adata, fitted, "profiles"), cells)


def read_linear(adata: AnnData, fitted: Fitted, cells: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the observed values of cells (a mask) on a linear scale: CSR float32, cells x genes of the model."""
    return chosen_rows(read_blocks(adata, fitted, "linear"), cells)
