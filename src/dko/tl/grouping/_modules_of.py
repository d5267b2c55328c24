"""From the effects of knockouts, of whichever model, to modules and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ..._core import keys
from ._module_labels import module_numbers, places, unit
from ._module_tables import agreement_of, markers_of, silhouettes

if TYPE_CHECKING:
    from collections.abc import Sequence


class Plan(NamedTuple):
    """What the user asked for; see :func:`dko.tl.perturbation_modules`."""

    basis: str
    resolution: float
    alpha: float
    n_null: int
    n_markers: int


class Effects(NamedTuple):
    """What a model says of knockouts, sorted by label, so that the order in which they are given says nothing.

    Attributes
    ----------
    sets
        The genes of each knockout by its label.
    genes
        Names of the columns of `changes`.
    changes
        Mean changes, knockouts x genes; 0 at the genes that are knocked out, which say only that it has worked.
    vectors
        What is compared, knockouts x dimensions.
    p_effect
        How sure it is that there is no effect; NaN where nothing is known.
    unseen
        Which the model was not trained on.
    n_cells
        How many cells each is known from.
    """

    sets: dict[str, list[str]]
    genes: Sequence[str]
    changes: np.ndarray
    vectors: np.ndarray
    p_effect: np.ndarray
    unseen: np.ndarray
    n_cells: np.ndarray


def modules_of(effects: Effects, known: np.ndarray | None, plan: Plan, seed: int) -> dict[str, Any]:
    """Return the entries of ``uns``; `known` has the groups of the knockouts, '' for those that have none."""
    vectors = effects.vectors
    modules = np.full(len(vectors), keys.NO_EFFECT, dtype=object)
    affects = ~(effects.p_effect > plan.alpha)
    modules[affects] = module_numbers(vectors[affects], plan.resolution, seed).astype(str)
    place = places(vectors, seed)
    table = pd.DataFrame(
        {
            "perturbation": list(effects.sets),
            "module": modules,
            "strength": np.linalg.norm(vectors, axis=1),
            "p_effect": effects.p_effect,
            "is_unseen": effects.unseen,
            "n_cells": effects.n_cells,
            "silhouette": silhouettes(unit(vectors), modules),
            "umap_1": place[:, 0],
            "umap_2": place[:, 1],
            **({} if known is None else {"group": known}),
        }
    )
    found = {
        keys.TABLE: table,
        keys.MARKERS: markers_of(effects.changes, modules, list(effects.sets.values()), effects.genes, plan.n_markers),
        keys.VECTORS: vectors.astype(np.float32),
    }
    if known is not None:
        row = agreement_of(plan.basis, "all", vectors[affects], modules[affects], known[affects], seed)
        found[keys.AGREEMENT] = pd.DataFrame([row])
    return found


def in_order(found: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return the same with the knockouts in the order that the user has given."""
    order = pd.Index(found[keys.TABLE]["perturbation"]).get_indexer(list(labels))
    table = found[keys.TABLE].iloc[order].reset_index(drop=True)
    return {**found, keys.TABLE: table, keys.VECTORS: found[keys.VECTORS][order]}
