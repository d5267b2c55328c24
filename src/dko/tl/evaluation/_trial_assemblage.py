"""Holding a model of unperturbed cells, and what else can be said from these, against measured knockouts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._core import keys
from ..._core.fitted import read_fitted, read_profiles
from ..._core.knockouts import engine_on, open_task
from ..._core.messages import listed, logger
from ...metrics import baseline_effects
from ...metrics._baselines import permuted
from ...metrics._effects import size_of_effect
from ._predicted import AssemblagePredictor
from ._scores import Predicted
from ._screen import Screen, columns_of, enough_cells, find_perturbations, held_out, of_split
from ._trial import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ._measured import Measurement

# Baselines that say the same whatever is knocked out rank no impacts.
_BLIND = ("gene mean", "gene spread")
_SHUFFLED = "permuted cells"
_REMEDY = "a gene of the model, or several joined by '+'; fit with these genes, dko.tl.fit(adata, genes=...)."


def open_assemblage_trial(
    adata: AnnData,
    key: str,
    perturbation_key: str,
    control: str,
    perturbations: Sequence[str] | None,
    *,
    baselines: bool,
    n_shuffles: int,
    device: str,
    rng: np.random.Generator,
) -> Trial:
    """Sort the cells, and get ready to predict their knockouts."""
    genes = read_fitted(adata, key).genes
    named = find_perturbations(adata, perturbation_key, control, perturbations, genes, _REMEDY)
    task = open_task(adata, key, "", named.control)
    columns = columns_of(named.genes, genes)
    predictor = AssemblagePredictor(task, engine_on(device), columns)
    cells = {label: named.rows(label) for label in columns}
    labels = enough_cells(cells, len(predictor.rows), control, perturbation_key)
    if of_split(adata, key, np.concatenate([cells[label] for label in labels]), keys.TRAIN, keys.VALIDATION).any():
        logger.warning(
            "The model was fitted on perturbed cells too, and has seen what it is asked to foretell; name the "
            "unperturbed ones, dko.tl.fit(adata, perturbation_key=..., control=...)."
        )
    test, are = held_out(adata, key, predictor.rows, rng)
    profiles = sparse.csr_array(read_profiles(adata, task.fitted))
    screen = Screen(
        control=profiles[predictor.rows],
        held_out=test,
        held_out_are=are,
        perturbed={label: profiles[cells[label]] for label in labels},
        columns={label: columns[label] for label in labels},
    )
    _require_predictable(screen)
    return Trial(screen, predictor, partial(_without_model, screen, n_shuffles if baselines else 0), {})


def _require_predictable(screen: Screen) -> None:
    if not any(screen.control[:, columns].sum() > 0 for columns in screen.columns.values()):
        raise ValueError(
            f"No unperturbed cell expresses the gene of any perturbation ({listed(screen.columns, 3)}), so there is no "
            "knockout to predict."
        )


def _without_model(
    screen: Screen, n_shuffles: int, measured: list[Measurement], values: np.ndarray, rng: np.random.Generator
) -> dict[str, list[Predicted]]:
    """Return what every baseline says, of shuffled cells repeatedly; with no shuffles, only that nothing changes."""
    gone = np.array([np.isnan(one.effect) for one in measured])
    nothing, unknown = np.where(gone, np.nan, 0.0), np.full(len(gone), np.nan)
    same = np.zeros(len(gone))
    found = {"no change": [Predicted(nothing, unknown, same)]}
    if not n_shuffles:
        return found
    share = np.array([_share(screen.control, columns) for columns in screen.columns.values()])
    found["renormalise"] = [Predicted(nothing, share, same)]
    genes = np.unique(np.concatenate(list(screen.columns.values())))
    members = gone[:, genes].astype(float)

    def together(singles: np.ndarray) -> Predicted:
        """Add the effects of several genes."""
        effects = np.where(gone, np.nan, members @ singles)
        sizes = [size_of_effect(effect, one.profile) for effect, one in zip(effects, measured, strict=True)]
        return Predicted(effects, unknown, np.array(sizes), sized=False)

    for name, singles in baseline_effects(values, genes, rng=rng).items():
        if name in _BLIND:
            found[name] = [Predicted(np.where(gone, np.nan, singles[0]), unknown, unknown, sized=False)]
        else:
            found[name] = [together(singles)]
    found[_SHUFFLED] += [together(permuted(values, genes, rng)) for _ in range(n_shuffles - 1)]
    return found


def _share(profiles: sparse.csr_array, columns: np.ndarray) -> float:
    """Return the mean share of genes in the cells that express any of them."""
    share = np.asarray(profiles[:, columns].sum(axis=1)).ravel()
    return float(share[share > 0].mean()) if (share > 0).any() else np.nan
