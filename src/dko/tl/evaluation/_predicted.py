"""What fitted models say of knockouts in unperturbed cells, to be held against measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from ...metrics import bray_curtis, log_profiles
from ...metrics._effects import shares
from ...metrics._profiles import columns_mask

if TYPE_CHECKING:
    from ..._core.knockouts import Task
    from ...models.knockout import Engine


@dataclass(frozen=True)
class Prediction:
    """A predicted knockout.

    Attributes
    ----------
    effect
        Mean change of the log values of the cells (of an assemblage model, those that express any of the genes, as
        :func:`dko.get.effects` has it); NaN at these genes, and everywhere if there is no such cell.
    impact
        Mean impact over the same cells.
    size
        Bray-Curtis dissimilarity of the mean profiles of all cells, before and after, the genes taken out of both, as
        sizes are measured; NaN if nothing is predicted.
    change
        Change of every cell along some axes, cells x axes; that of these genes does not count.
    """

    effect: np.ndarray
    impact: float
    size: float
    change: np.ndarray


class Predictor(Protocol):
    """Says what knockouts do to the unperturbed cells."""

    def knock_out(self, label: str, axes: np.ndarray) -> Prediction:
        """Predict one knockout, by its name in a screen, and the change of cells along `axes` (genes x axes)."""


class AssemblagePredictor:
    """Knocks genes out in the unperturbed cells, each cell through the model of its group.

    Attributes
    ----------
    rows
        Which cells, in the order of all that comes from here.
    """

    def __init__(self, task: Task, engine: Engine, columns: dict[str, np.ndarray]):
        self._engine, self._columns = engine, columns
        self._parts = [
            (part, engine.predict(part.affine, part.presence)) for part in task.parts(task.presence, cells=task.cells)
        ]
        self.rows = np.concatenate([np.empty(0, dtype=int), *(part.rows for part, _ in self._parts)])

    def knock_out(self, label: str, axes: np.ndarray) -> Prediction:
        """Predict the knockout of some genes together, and the change of cells along `axes`."""
        from ...models.knockout import find

        columns = self._columns[label]
        impacts, changes = [], []
        means = np.zeros((2, self._parts[0][0].presence.shape[1]))
        for part, before in self._parts:
            cell, number, removed = find(part.presence, columns[None, :])
            # A cell that expresses none of the genes keeps its profile.
            after = before[None, :].copy()
            impacts.append(
                self._engine.knock_out(part.affine, part.presence, cell, removed, after=after, number=number)
            )
            values = [_log(profile, part.presence, columns) for profile in (before, after[0])]
            means += [shares(one).sum(axis=0) / len(self.rows) for one in values]
            changes.append(values[1] - values[0])
        impact, change = np.concatenate(impacts), sparse.csr_array(sparse.vstack(changes, format="csr"))
        gone = columns_mask(columns, change.shape[1])
        if not len(impact):
            return Prediction(np.full(len(gone), np.nan), np.nan, np.nan, change @ axes)
        effect = np.where(gone, np.nan, np.asarray(change.sum(axis=0)).ravel() / len(impact))
        size = float(bray_curtis(means[:1], means[1:])[0])
        return Prediction(effect, float(impact.mean()), size, change @ axes)


def _log(profile: np.ndarray, presence: sparse.csr_matrix, columns: np.ndarray) -> sparse.csr_array:
    whole = sparse.csr_array((profile, presence.indices, presence.indptr), shape=presence.shape)
    return log_profiles(whole, without=columns)
