"""What a model predicts for knockouts that are to be grouped: mean changes, and whether there is any effect."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._core import keys
from .._core.messages import listed
from .._core.names import TRAINED, perturbations
from .._core.scale import read_log_values
from ._modules import reduced

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import Callable, Predictor, Sequence
    from ._modules import Plan

# Genes that are compared when the user names none; control cells that mean effects are predicted in.
_MOST, _N_CONTROLS = 500, 1_000
_N_COMPONENTS = 30


class Effects(NamedTuple):
    """Predicted knockouts, sorted by label, so that the order in which they are given does not matter."""

    sets: dict[str, list[str]]
    genes: Sequence[str]
    # Mean changes, knockouts x genes; 0 at the genes that are knocked out, which say only that it has worked.
    changes: np.ndarray
    # What is compared, knockouts x dimensions.
    vectors: np.ndarray
    # NaN where nothing is known.
    p_effect: np.ndarray
    # Which the model was not trained on, and from how many cells each is known.
    unseen: np.ndarray
    n_cells: np.ndarray
    # Of a model of perturbations, their mean changes in the cells that it was trained on, by label.
    measured: dict[str, np.ndarray]


def widespread(cells: Predictor, alpha: float) -> dict[str, list[str]]:
    """Return the genes that have an effect on others, as far as is known, those in most cells first."""
    n_cells = cells.values.getnnz(axis=0)
    usable = (n_cells > 0) & ~(_rates(cells, [[gene] for gene in cells.model.genes]) > alpha)
    by_cells = np.argsort(-n_cells, kind="stable")
    return {cells.model.genes[column]: [cells.model.genes[column]] for column in by_cells[usable[by_cells]][:_MOST]}


def effects_of(cells: Predictor, sets: dict[str, list[str]], plan: Plan, seed: int) -> Effects:
    """Return the effects of knockouts in the basis that was asked for."""
    sets = {label: sets[label] for label in sorted(sets)}
    genes_of = list(sets.values())
    found = (_in_a_screen if cells.trained else _in_unperturbed)(cells, sets, plan, seed)
    latent = cells.model.latent(cells.numbers(genes_of)) if plan.basis == "latent" else None
    vectors = reduced(found.changes) if latent is None else latent.astype(np.float64)
    return found._replace(vectors=vectors)


def _mean_changes(cells: Predictor, genes_of: list[list[str]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    (totals,), (n_cells,) = cells.effect_sums(genes_of, np.zeros(cells.adata.n_obs, dtype=int), 1, rng=seed)
    return totals / np.maximum(n_cells, 1)[:, None], n_cells


def _in_unperturbed(cells: Predictor, sets: dict[str, list[str]], plan: Plan, seed: int) -> Effects:
    """Of a model of unperturbed cells: over the cells that express the genes, less what all have in common."""
    genes_of, genes = list(sets.values()), cells.model.genes
    changes, n_cells = _mean_changes(cells, genes_of, seed)
    if none := [label for label, n in zip(sets, n_cells, strict=True) if not n]:
        raise ValueError(
            f"No cell that has a model expresses {listed(none)}, so nothing is knocked out; leave them out."
        )
    # What all have in common would make them all of one kind.
    changes = changes - (changes.sum(0) - changes) / (len(changes) - 1)
    changes = without_targets(changes.astype(np.float32), genes_of, genes)
    unseen = np.zeros(len(sets), dtype=bool)
    return Effects(sets, genes, changes, changes, _rates(cells, genes_of), unseen, n_cells, {})


def _rates(cells: Predictor, genes_of: list[list[str]]) -> np.ndarray:
    """Return the false discovery rate of the downstream impact of each set, the least of its genes; NaN if unknown."""
    if cells.fitted.signal is None:
        return np.full(len(genes_of), np.nan)
    rates = dict(zip(cells.model.genes, cells.fitted.signal.astype(float), strict=True))
    return np.array([min(rates[gene] for gene in genes) for genes in genes_of])


def _in_a_screen(cells: Predictor, sets: dict[str, list[str]], plan: Plan, seed: int) -> Effects:
    """Of a model of perturbations: in control cells, beside the cells that it was trained on."""
    table = cells.fitted.table(keys.PERTURBATIONS)
    table = table[table["role"] == TRAINED]
    n_trained = dict(zip(table["perturbation"].astype(str), table["n_cells"].astype(int), strict=True))
    genes_of = list(sets.values())
    unseen = np.array([label not in n_trained for label in sets])
    measured = _measured(cells, seed)
    few = cells
    if len(cells.rows) > _N_CONTROLS:
        chosen = np.zeros(cells.adata.n_obs, dtype=bool)
        chosen[np.random.default_rng(seed).choice(cells.rows, _N_CONTROLS, replace=False)] = True
        few = cells.among(chosen)
    changes = without_targets(_mean_changes(few, genes_of, seed)[0].astype(np.float32), genes_of, cells.model.genes)
    # Of measured changes where there are, else of predicted ones.
    n_cells = np.array([n_trained.get(label, 0) for label in sets])
    usual = int(np.median(list(n_trained.values())))
    of_each = np.array([measured.n_cells.get(label, n_trained.get(label, usual)) for label in sets])
    known = np.stack([measured.effects.get(label, change) for label, change in zip(sets, changes, strict=True)])
    null_of = partial(null_changes, measured.scores, n_null=plan.n_null, seed=seed)
    p_effect = p_values(known @ measured.components, of_each, unseen, null_of)
    return Effects(sets, cells.model.genes, changes, changes, p_effect, unseen, n_cells, measured.effects)


class _Measured(NamedTuple):
    """Cells that a model was trained on."""

    # Mean change of each trained perturbation against the control cells, 0 at its targets; how many cells each has.
    effects: dict[str, np.ndarray]
    n_cells: dict[str, int]
    # Directions in which these cells vary, genes x components, divided by the standard deviation of control cells; and
    # control cells in these directions.
    components: np.ndarray
    scores: np.ndarray


def _measured(cells: Predictor, seed: int) -> _Measured:
    """Read the cells of trained perturbations, as far as they are there and the fit has seen them."""
    from sklearn.decomposition import PCA

    values, trained = read_log_values(cells.adata, cells.fitted), cells.trained
    rows = _rows(cells)
    used = np.concatenate([cells.rows, *rows.values()])
    n_components = min(_N_COMPONENTS, len(used) - 1, values.shape[1] - 1)
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    pca.fit(values[used].astype(np.float64))
    control = values[cells.rows]
    scores = np.asarray(control @ pca.components_.T)
    spread = np.maximum(scores.std(axis=0), 1e-6 * scores.std())
    effects = np.array([_mean(values[some]) for some in rows.values()]).reshape(len(rows), values.shape[1]) - _mean(
        control
    )
    effects = without_targets(effects, [trained[label] for label in rows], cells.model.genes)
    return _Measured(
        effects=dict(zip(rows, effects, strict=True)),
        n_cells={label: len(some) for label, some in rows.items()},
        components=pca.components_.T / spread,
        scores=scores / spread,
    )


def _rows(cells: Predictor) -> dict[str, np.ndarray]:
    """Return the cells of each trained perturbation that the fit has seen."""
    adata, fitted = cells.adata, cells.fitted
    column, control = fitted.params["perturbation_key"], fitted.params["control"]
    if column not in adata.obs:
        return {}
    labels = perturbations(adata, column, control, {*fitted.genes, *fitted.targets}).to_numpy()
    if keys.split(fitted.key) in adata.obs:
        seen = adata.obs[keys.split(fitted.key)].isin([keys.TRAIN, keys.VALIDATION]).to_numpy()
        labels = np.where(seen, labels, None)
    rows = {label: np.flatnonzero(labels == label) for label in cells.trained}
    return {label: some for label, some in rows.items() if len(some)}


def without_targets(effects: np.ndarray, targets: Sequence[Sequence[str]], genes: Sequence[str]) -> np.ndarray:
    """Return effects (n x genes) with 0 at the targets of each."""
    own = np.array([np.isin(genes, list(some)) for some in targets]).reshape(effects.shape)
    return np.where(own, 0.0, effects)


def _mean(values: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()


def null_changes(scores: np.ndarray, n_cells: int, n_null: int, seed: int) -> np.ndarray:
    """Return distances of means of `n_cells` random control cells from the others (n_null x components)."""
    # For each number of cells the same, whatever other perturbations there are.
    rng = np.random.default_rng([seed, n_cells])
    n_control = len(scores)
    n_drawn = min(n_cells, n_control // 2)
    drawn = np.stack([scores[rng.choice(n_control, n_drawn, replace=False)].sum(axis=0) for _ in range(n_null)])
    changes = drawn / n_drawn - (scores.sum(axis=0) - drawn) / (n_control - n_drawn)
    wanted, had = 1 / n_cells + 1 / n_control, 1 / n_drawn + 1 / (n_control - n_drawn)
    return changes * np.sqrt(wanted / had)


def p_values(changes: np.ndarray, n_cells: np.ndarray, unseen: np.ndarray, null_of: Callable) -> np.ndarray:
    """Return the share of random groups of control cells as far from the others as each change (`unseen`: along it)."""
    found = np.empty(len(changes))
    for n in np.unique(n_cells):
        null = null_of(int(n))
        for row in np.flatnonzero(n_cells == n):
            size = np.linalg.norm(changes[row])
            sizes = null @ changes[row] / max(size, 1e-12) if unseen[row] else np.linalg.norm(null, axis=1)
            found[row] = (1 + (sizes >= size).sum()) / (1 + len(null))
    return found
