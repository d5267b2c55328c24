"""Measured perturbations beside predicted ones: mean effects, and whether there is any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._core import keys
from ..._core.names import perturbations
from ..._core.scale import read_log_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scipy import sparse

    from ..._core.knockouts import Perturber

_N_COMPONENTS = 30


@dataclass(frozen=True)
class Measured:
    """Cells that a model was trained on.

    Attributes
    ----------
    effects
        Mean change of each trained perturbation against the control cells, by label; 0 at its targets.
    n_cells
        How many cells each has.
    components
        Directions in which these cells vary, genes x components, divided by the standard deviation of control cells.
    scores
        Control cells in these directions, cells x components.
    """

    effects: dict[str, np.ndarray]
    n_cells: dict[str, int]
    components: np.ndarray
    scores: np.ndarray


def measured(perturber: Perturber, trained: dict[str, list[str]], seed: int) -> Measured:
    """Read the cells of trained perturbations, as far as they are there and the fit has seen them."""
    from sklearn.decomposition import PCA

    values = read_log_values(perturber.adata, perturber.fitted)
    rows = _rows(perturber, trained)
    used = np.concatenate([perturber.rows, *rows.values()])
    n_components = min(_N_COMPONENTS, len(used) - 1, values.shape[1] - 1)
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    pca.fit(values[used].astype(np.float64))
    control = values[perturber.rows]
    scores = np.asarray(control @ pca.components_.T)
    spread = np.maximum(scores.std(axis=0), 1e-6 * scores.std())
    effects = np.array([_mean(values[some]) for some in rows.values()]).reshape(len(rows), values.shape[1]) - _mean(
        control
    )
    effects = without_targets(effects, [trained[label] for label in rows], perturber.fitted.genes)
    return Measured(
        effects=dict(zip(rows, effects, strict=True)),
        n_cells={label: len(some) for label, some in rows.items()},
        components=pca.components_.T / spread,
        scores=scores / spread,
    )


def _rows(perturber: Perturber, trained: Iterable[str]) -> dict[str, np.ndarray]:
    adata, fitted = perturber.adata, perturber.fitted
    column, control = fitted.params["perturbation_key"], fitted.params["control"]
    if column not in adata.obs:
        return {}
    labels = perturbations(adata, column, control, {*fitted.genes, *fitted.targets}).to_numpy()
    if keys.split(fitted.key) in adata.obs:
        seen = adata.obs[keys.split(fitted.key)].isin([keys.TRAIN, keys.VALIDATION]).to_numpy()
        labels = np.where(seen, labels, None)
    rows = {label: np.flatnonzero(labels == label) for label in trained}
    return {label: some for label, some in rows.items() if len(some)}


def without_targets(effects: np.ndarray, targets: Sequence[Sequence[str]], genes: Sequence[str]) -> np.ndarray:
    """Return effects (n x genes) with 0 at the targets of each."""
    own = np.array([np.isin(genes, list(some)) for some in targets]).reshape(effects.shape)
    return np.where(own, 0.0, effects)


def _mean(values: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()


def null_changes(scores: np.ndarray, n_cells: int, n_null: int, seed: int) -> np.ndarray:
    """Return how far the mean of `n_cells` cells is from that of all control cells if the perturbation does nothing.

    Random control cells against the others (n_null x components). Where there are not enough of them, fewer stand in,
    and distances are put to the scale of `n_cells`: a variance of means is inverse to the number of cells, on
    either side.
    """
    # Of its own for each number of cells, whatever other perturbations there are.
    rng = np.random.default_rng([seed, n_cells])
    n_control = len(scores)
    n_drawn = min(n_cells, n_control // 2)
    drawn = np.stack([scores[rng.choice(n_control, n_drawn, replace=False)].sum(axis=0) for _ in range(n_null)])
    changes = drawn / n_drawn - (scores.sum(axis=0) - drawn) / (n_control - n_drawn)
    wanted, had = 1 / n_cells + 1 / n_control, 1 / n_drawn + 1 / (n_control - n_drawn)
    return changes * np.sqrt(wanted / had)


def p_values(changes: np.ndarray, n_cells: np.ndarray, unseen: np.ndarray, null_of: Callable) -> np.ndarray:
    """Return the share of random groups of as many control cells that are as far from the others as each change is.

    Parameters
    ----------
    changes
        Of the mean, perturbations x components.
    n_cells
        Number of cells of each.
    unseen
        Which are predicted and not learned from cells. There is no noise in these, so what counts is how far random
        groups lie in their direction, not in any.
    null_of
        `null_changes` of a number of cells.
    """
    found = np.empty(len(changes))
    for n in np.unique(n_cells):
        null = null_of(int(n))
        for row in np.flatnonzero(n_cells == n):
            size = np.linalg.norm(changes[row])
            sizes = null @ changes[row] / max(size, 1e-12) if unseen[row] else np.linalg.norm(null, axis=1)
            found[row] = (1 + (sizes >= size).sum()) / (1 + len(null))
    return found
