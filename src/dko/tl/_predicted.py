"""What a fitted model says of knockouts in unperturbed cells, to be held against measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..metrics._log_profiles import columns_mask, log_profiles

if TYPE_CHECKING:
    from .._engine import Task
    from ..models.knockout import Engine


@dataclass(frozen=True)
class Prediction:
    """A predicted knockout.

    Attributes
    ----------
    effect
        Mean change of log1p(1e4 * profile) over the cells that express any of the genes; NaN at these, and everywhere
        if there is no such cell.
    impact
        Mean impact over the same cells.
    change
        Change of every cell, cells x genes.
    """

    effect: np.ndarray
    impact: float
    change: sparse.csr_array


class Predictor:
    """Knocks genes out in the unperturbed cells, each cell through the model of its group.

    Attributes
    ----------
    rows
        Which cells, in the order of all that comes from here.
    """

    def __init__(self, task: Task, presence: sparse.csr_matrix, engine: Engine):
        self._engine = engine
        self._parts = []
        rows = []
        for affine, found, part, _ in task.parts(presence):
            self._parts.append((affine, part, engine.predict(affine, part)))
            rows.append(found)
        self.rows = np.concatenate(rows) if rows else np.empty(0, dtype=int)

    def knock_out(self, columns: np.ndarray) -> Prediction:
        """Predict the knockout of the genes in some columns, together."""
        from ..models.knockout import find

        impacts, changes = [], []
        for affine, presence, before in self._parts:
            cell, number, removed = find(presence, columns[None, :])
            # A cell that expresses none of the genes keeps its profile.
            after = before[None, :].copy()
            impacts.append(self._engine.knock_out(affine, presence, cell, removed, after=after, number=number))
            changes.append(_log(after[0], presence, columns) - _log(before, presence, columns))
        impact, change = np.concatenate(impacts), sparse.csr_array(sparse.vstack(changes, format="csr"))
        gone = columns_mask(columns, change.shape[1])
        if not len(impact):
            return Prediction(np.full(len(gone), np.nan), np.nan, change)
        effect = np.where(gone, np.nan, np.asarray(change.sum(axis=0)).ravel() / len(impact))
        return Prediction(effect, float(impact.mean()), change)


def _log(profile: np.ndarray, presence: sparse.csr_matrix, columns: np.ndarray) -> sparse.csr_array:
    whole = sparse.csr_array((profile, presence.indices, presence.indptr), shape=presence.shape)
    return log_profiles(whole, without=columns)
