"""What a scan has found, beside what is observed in the same cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._compat import layer_names
from ..._core import keys
from ..._core.evidence import counts_again
from ..._core.fitted import read_linear, read_profiles
from ..._core.messages import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._core.knockouts import Predictor


@dataclass(frozen=True)
class Scanned:
    """Cells x genes of the model.

    Attributes
    ----------
    impact, downstream
        Impacts of the scan, all and on other genes alone, CSR float32, an entry wherever a gene was knocked out.
    observed
        Observed relative profiles.
    cells
        Which cells were scanned, as a mask.
    """

    impact: sparse.csr_matrix
    downstream: sparse.csr_matrix
    observed: sparse.csr_matrix
    cells: np.ndarray

    def rows(self, rows: np.ndarray) -> Scanned:
        """Return some cells."""
        return Scanned(self.impact[rows], self.downstream[rows], self.observed[rows], self.cells[rows])


def require_scan(task: Predictor, key: str) -> None:
    """Raise unless there is a scan with downstream impacts."""
    for place, what in (
        (keys.impact(key), "scan"),
        (keys.downstream(key), "downstream impacts, which genes rank by,"),
    ):
        if place not in layer_names(task.adata):
            raise KeyError(f"No {what} in adata.layers[{place!r}]; run dko.tl.scan(adata, key={key!r}) first.")


def read_scan(task: Predictor, key: str, groups: Iterable[np.ndarray]) -> Scanned:
    """Read a scan and what belongs to it; `groups` are masks of cells, each of which was scanned or left out."""
    impact, downstream = (_read(task, place) for place in (keys.impact(key), keys.downstream(key)))
    observed = read_profiles(task.adata, task.fitted)
    _check(impact, downstream, observed, task.cells, key)
    return Scanned(impact, downstream, observed, _scanned_cells(impact, observed, task.cells, groups))


def _read(task: Predictor, place: str) -> sparse.csr_matrix:
    values = sparse.csr_matrix(task.adata.layers[place])[:, task.columns]
    values.sort_indices()
    return values


def _check(
    impact: sparse.csr_matrix,
    downstream: sparse.csr_matrix,
    observed: sparse.csr_matrix,
    modelled: np.ndarray,
    key: str,
) -> None:
    """Refuse layers that are not of one scan of this expression."""
    again = f"run dko.tl.scan(adata, key={key!r}) again."
    if not (np.array_equal(impact.indptr, downstream.indptr) and np.array_equal(impact.indices, downstream.indices)):
        raise ValueError(
            f"adata.layers[{keys.impact(key)!r}] and adata.layers[{keys.downstream(key)!r}] are of different scans; "
            + again
        )
    # Ones, as an entry of 0 is an impact, too.
    places, present = (
        sparse.csr_matrix((np.ones(len(one.data), dtype=bool), one.indices, one.indptr), shape=one.shape)
        for one in (impact, observed)
    )
    if places.multiply(present).nnz < impact.nnz or np.diff(impact.indptr)[~modelled].any():
        raise ValueError(
            f"adata.layers[{keys.impact(key)!r}] has impacts where the cell does not express the gene, or has no "
            f"model: the expression is not the one that was scanned; {again}"
        )


def _scanned_cells(
    impact: sparse.csr_matrix, observed: sparse.csr_matrix, modelled: np.ndarray, groups: Iterable[np.ndarray]
) -> np.ndarray:
    """Return which cells were scanned, whether or not they express any of the genes that were knocked out.

    A cell that expresses one of these and has no impacts was left out. Where there is none such in a group, the scan
    has gone over all of its cells, those that have a model and any of its genes; otherwise only over those that have
    impacts, as it cannot be told of others.
    """
    knocked_out = np.zeros(impact.shape[1], dtype=bool)
    knocked_out[impact.indices] = True
    with_impacts = np.diff(impact.indptr) > 0
    left_out = modelled & (observed @ knocked_out > 0) & ~with_impacts
    scanned = with_impacts.copy()
    for group in groups:
        if not left_out[group].any():
            scanned[group] = (modelled & (np.diff(observed.indptr) > 0))[group]
    return scanned


def read_counts(task: Predictor) -> sparse.csr_matrix:
    """Return counts, or what they are for comparisons between genes, CSR, cells x genes of the model."""
    from ...models.significance import comparable

    values = read_linear(task.adata, task.fitted)
    counts = counts_again(values)
    if counts is None:
        say(
            "No counts can be recovered from these values: p-values are approximate, and too small where there are few "
            "genes."
        )
    return comparable(values) if counts is None else counts
