"""From a trained model to modules of perturbations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core import keys
from ..._core.names import TRAINED
from ._module_cells import measured, null_changes, p_values, without_targets
from ._module_labels import module_numbers, reduced
from ._module_tables import agreement_of
from ._modules_of import Effects, in_order, modules_of

if TYPE_CHECKING:
    from ..._core.knockouts import Perturber
    from ._module_cells import Measured
    from ._modules_of import Plan

# Control cells that mean effects are predicted in.
_N_CONTROLS = 1_000


def _n_trained(perturber: Perturber) -> dict[str, int]:
    table = perturber.fitted.table(keys.PERTURBATIONS)
    table = table[table["role"] == TRAINED]
    return dict(zip(table["perturbation"].astype(str), table["n_cells"].astype(int), strict=True))


def find_modules(
    perturber: Perturber,
    sets: dict[str, list[str]],
    known: np.ndarray | None,
    plan: Plan,
    seed: int,
) -> dict[str, Any]:
    """Return the entries of ``uns``; `known` has the groups in the order of the sorted labels."""
    labels = sorted(sets)
    genes_of = [sets[label] for label in labels]
    n_trained = _n_trained(perturber)
    unseen = np.array([label not in n_trained for label in labels])
    cells = measured(perturber, perturber.trained, seed)
    changes = _effects(perturber, genes_of, seed)
    n_cells = np.array([n_trained.get(label, 0) for label in labels])
    effects = Effects(
        sets=dict(zip(labels, genes_of, strict=True)),
        genes=perturber.fitted.genes,
        changes=changes,
        vectors=_latent(perturber, genes_of) if plan.basis == "latent" else reduced(changes),
        p_effect=_p_effect(labels, changes, unseen, n_trained, cells, plan, seed),
        unseen=unseen,
        n_cells=n_cells,
    )
    found = modules_of(effects, known, plan, seed)
    if known is not None:
        found[keys.AGREEMENT] = _with_measured(found, effects.vectors, known, cells, plan, seed)
    return in_order(found, list(sets))


def _effects(perturber: Perturber, genes_of: list[list[str]], seed: int) -> np.ndarray:
    """Return mean predicted changes, perturbations x genes; 0 at the targets, which say only that it has worked."""
    if len(perturber.rows) > _N_CONTROLS:
        chosen = np.zeros(perturber.adata.n_obs, dtype=bool)
        chosen[np.random.default_rng(seed).choice(perturber.rows, _N_CONTROLS, replace=False)] = True
        perturber = perturber.among(chosen)
    return without_targets(perturber.mean_effects(genes_of, seed), genes_of, perturber.fitted.genes)


def _latent(perturber: Perturber, genes_of: list[list[str]]) -> np.ndarray:
    """Return shifts after the graph, perturbations x latent."""
    found = perturber.model.propagated(perturber.shifts(genes_of))
    return found.detach().cpu().numpy().astype(np.float64)


def _p_effect(
    labels: list[str],
    effects: np.ndarray,
    unseen: np.ndarray,
    n_trained: dict[str, int],
    cells: Measured,
    plan: Plan,
    seed: int,
) -> np.ndarray:
    """Return how often chance alone goes as far: of measured changes where there are, else of predicted ones."""
    usual = int(np.median(list(n_trained.values())))
    n_cells = np.array([cells.n_cells.get(label, n_trained.get(label, usual)) for label in labels])
    changes = np.stack([cells.effects.get(label, effect) for label, effect in zip(labels, effects, strict=True)])
    null_of = partial(null_changes, cells.scores, n_null=plan.n_null, seed=seed)
    return p_values(changes @ cells.components, n_cells, unseen, null_of)


def _with_measured(
    found: dict[str, Any], vectors: np.ndarray, known: np.ndarray, cells: Measured, plan: Plan, seed: int
) -> pd.DataFrame:
    """Return how modules agree with known groups, beside modules of the same perturbations by what was measured."""
    table = found[keys.TABLE]
    labels, modules = table["perturbation"], table["module"].to_numpy()
    there = (modules != keys.NO_EFFECT) & labels.isin(list(cells.effects)).to_numpy() & ~table["is_unseen"].to_numpy()
    if not there.any():
        return found[keys.AGREEMENT]
    raw = reduced(np.stack([cells.effects[label] for label in labels[there]]))
    numbers = module_numbers(raw, plan.resolution, seed)
    rows = [
        agreement_of(plan.basis, "trained", vectors[there], modules[there], known[there], seed),
        agreement_of("measured", "trained", raw, numbers, known[there], seed),
    ]
    return pd.concat([found[keys.AGREEMENT], pd.DataFrame(rows)], ignore_index=True)
