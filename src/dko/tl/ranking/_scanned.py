"""What a scan has found, beside what is observed in the same cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ... import _keys
from ..._compat import layer_names
from ..._counts import counts_again
from ..._data import profiles
from ..._engine import engine_on, progress_blocks
from ..._fitted import read_linear
from ..._log import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._engine import Task


@dataclass(frozen=True)
class Scanned:
    """Cells x genes of the model.

    Attributes
    ----------
    impact
        Impacts of the scan, CSR float32, an entry wherever a gene was knocked out.
    share
        On the same pattern, the share of the gene itself in the profile before its knockout.
    observed
        Observed relative profiles.
    counts
        Counts, where they can be told, otherwise what they are for comparisons between genes.
    cells
        Which cells were scanned, as a mask.
    """

    impact: sparse.csr_matrix
    share: sparse.csr_matrix
    observed: sparse.csr_matrix
    counts: sparse.csr_matrix
    cells: np.ndarray

    @property
    def excess(self) -> sparse.csr_matrix:
        """Impact beyond the disappearance of the gene itself."""
        data = self.impact.data - self.share.data
        return sparse.csr_matrix((data, self.impact.indices, self.impact.indptr), shape=self.impact.shape)

    def rows(self, rows: np.ndarray) -> Scanned:
        """Return some cells."""
        return Scanned(self.impact[rows], self.share[rows], self.observed[rows], self.counts[rows], self.cells[rows])


def require_scan(task: Task, key: str) -> None:
    """Raise unless there is a scan."""
    if _keys.impact(key) not in layer_names(task.adata):
        raise KeyError(f"No scan in adata.layers[{_keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")


def read_scan(task: Task, key: str, device: str, groups: Iterable[np.ndarray]) -> Scanned:
    """Read a scan and what belongs to it; `groups` are masks of cells, each of which was scanned or left out."""
    impact = sparse.csr_matrix(task.adata.layers[_keys.impact(key)])[:, task.columns]
    impact.sort_indices()
    shares, engine = [], engine_on(device)
    for first, block in progress_blocks(task, None, "profiles"):
        before = np.full(block.nnz, np.nan, dtype=np.float32)
        for part in task.parts(block, first):
            before[part.entries] = engine.predict(part.affine, part.presence)
        shares.append(sparse.csr_matrix((before, block.indices, block.indptr), shape=block.shape))
    share = _at(sparse.vstack(shares, format="csr"), impact, key)
    observed, counts = observed_and_counts(task)
    return Scanned(impact, share, observed, counts, _scanned_cells(impact, observed, task.cells, groups))


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


def observed_and_counts(task: Task) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return observed profiles and counts, CSR, cells x genes of the model."""
    from ...models.significance import comparable

    values = read_linear(task.adata, task.fitted)
    counts = counts_again(values)
    if counts is None:
        say(
            "No counts can be recovered from these values: p-values are approximate, and too small where there are few "
            "genes."
        )
    return profiles(values), comparable(values) if counts is None else counts


def _at(values: sparse.csr_matrix, pattern: sparse.csr_matrix, key: str) -> sparse.csr_matrix:
    """Return values at the entries of another matrix."""
    values.sort_indices()
    places, wanted = (_places(matrix) for matrix in (values, pattern))
    at = np.minimum(np.searchsorted(places, wanted), max(len(places) - 1, 0))
    data = values.data[at] if len(places) else np.full(len(wanted), np.nan, dtype=np.float32)
    if len(wanted) and (not len(places) or (places[at] != wanted).any() or np.isnan(data).any()):
        raise ValueError(
            f"adata.layers[{_keys.impact(key)!r}] has impacts where the cell does not express the gene, or has no "
            f"model: the expression is not the one that was scanned; run dko.tl.scan(adata, key={key!r}) again."
        )
    return sparse.csr_matrix((data, pattern.indices, pattern.indptr), shape=pattern.shape)


def _places(matrix: sparse.csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices
