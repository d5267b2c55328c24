"""Choosing what the effects of a fit are, and estimating total ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control

from ..._core import keys
from ..._core.evidence import counts_again
from ..._core.fitted import NO_SIGNAL
from ..._core.messages import say

if TYPE_CHECKING:
    import torch
    from scipy import sparse

    from ...models.assemblage import Fit
    from ...models.knockout import AnyMap
    from ...models.total import Prior, TotalFit

EFFECTS = ("auto", "direct", "total")

# Knockouts, and cells, that tell how much alike the effects of different knockouts are.
_SOME_GENES, _SOME_CELLS = 50, 200

# Share of the variance of levels that assemblages have to explain for direct effects to be better than total ones.
_EXPLAINED = 0.5


def check_effects(effects: str, preset: str | None, rank: int | None, *, prior: bool) -> None:
    """Refuse what is not there, and what does not go together."""
    if effects not in EFFECTS:
        raise ValueError(f"No effects {effects!r}; choose one of {', '.join(EFFECTS)}.")
    if effects == "total" and (preset == "paper" or rank is not None):
        what = "preset='paper'" if preset == "paper" else "rank=..."
        raise ValueError(f"{what} has direct effects only; leave it out, or effects='total'.")
    if prior and (effects == "direct" or preset == "paper" or rank is not None):
        what = "effects='direct'" if effects == "direct" else "preset='paper'" if preset == "paper" else "rank=..."
        raise ValueError(f"prior=... is a part of total effects; leave it out, or {what}.")


def choose_effects(
    effects: str,
    preset: str | None,
    rank: int | None,
    relative: sparse.csr_matrix,
    cells: dict[str, np.ndarray],
    split: np.ndarray,
    fits: dict[str, Fit],
    device: torch.device,
) -> tuple[str, float]:
    """Return which effects the fit will have, and how much of the levels of genes the assemblages explain."""
    from ...models.knockout import engine, presence_of
    from ...models.total import explained

    shares, n_cells = [], []
    for group, fit in fits.items():
        observed = relative[cells[group][split[cells[group]] == keys.VALIDATION]]
        presence = presence_of(observed)
        shares.append(explained(observed, engine(device).predict(fit.affine, presence)))
        n_cells.append(observed.shape[0])
    judged = np.isfinite(shares)
    share = float(np.average(np.array(shares)[judged], weights=np.array(n_cells)[judged])) if judged.any() else np.nan
    if effects == "auto":
        # Too few cells to judge are too few for regressions as well.
        published = preset == "paper" or rank is not None or not judged.any()
        effects = "direct" if published or share >= _EXPLAINED else "total"
    return effects, share


def fit_totals(
    relative: sparse.csr_matrix,
    totals: np.ndarray,
    cells: dict[str, np.ndarray],
    split: np.ndarray,
    groups: list[str],
    rng: np.random.Generator,
    *,
    counts: bool,
    prior: Prior | None = None,
) -> dict[str, TotalFit]:
    """Estimate the total effects in each group from its training and validation cells.

    Counts that have been normalised since are recovered, as far as they can be.
    """
    from ...models import total

    again = None if counts else counts_again(relative)
    if again is not None:
        totals, counts = np.asarray(again.sum(axis=1, dtype=np.float64)).ravel(), True
    fits = {}
    for group in groups:
        rows = cells[group][np.isin(split[cells[group]], [keys.TRAIN, keys.VALIDATION])]
        fits[group] = total.fit(relative[rows], totals[rows], rng, counts=counts, prior=prior)
    return fits


def similarity_of(maps: dict[str, AnyMap], relative: sparse.csr_matrix, cells: dict[str, np.ndarray]) -> float:
    """Return how much the effects of different knockouts are alike: mean rank correlation of their sizes.

    Of the genes that most cells express, in some cells, and over the groups. NaN with fewer than two genes.
    """
    from ...metrics import similarity
    from ...models.knockout import FactorMap, effect_sums, presence_of

    found = []
    for group, affine in maps.items():
        rows = cells[group]
        some = relative[rows[:: max(1, len(rows) // _SOME_CELLS)]]
        presence = some if isinstance(affine, FactorMap) else presence_of(some)
        n_cells = np.bincount(presence.indices, minlength=presence.shape[1])
        genes = np.sort(np.argsort(-n_cells, kind="stable")[:_SOME_GENES])
        sums, _ = effect_sums(affine, presence, genes, np.zeros(presence.shape[0], dtype=int), 1)
        sums[0, np.arange(len(genes)), genes] = np.nan
        found.append(similarity(sums[0]))
    values = np.concatenate(found)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def weights_of(fits: dict[str, TotalFit]) -> dict[str, np.ndarray]:
    """Return the arrays of all groups, and the signal of each gene."""
    every = list(fits.values())
    if not every:
        return {}
    _summarise(every, rates := _rates(every))
    arrays = [(fit.factors.arrays, keys.TOTAL) for fit in every], [(vars(fit.null), keys.NULL) for fit in every]
    stacked = {
        place: np.stack([arrays_of[name] for arrays_of, _ in of_groups])
        for of_groups in arrays
        for name, place in of_groups[0][1].items()
    }
    return stacked | {keys.SIGNAL: rates.astype(np.float32)}


def _rates(fits: list[TotalFit]) -> np.ndarray:
    """Return the false discovery rate of each gene, by its smallest p-value times the number of groups."""
    return false_discovery_control(np.minimum(1, len(fits) * np.stack([fit.p_values for fit in fits]).min(0)))


def _summarise(fits: list[TotalFit], rates: np.ndarray) -> None:
    """Say what was estimated, for how many genes there is evidence, and how large a typical change is."""
    known = rates <= NO_SIGNAL
    text = f"For {int(known.sum())} of {len(rates)} genes these cells show that others depend on them (FDR <= 5 %)"
    if known.any():
        low, middle, high = (
            f"{100 * value:.1f}" for value in np.quantile([fit.downstream[known] for fit in fits], [0.1, 0.5, 0.9])
        )
        text += f"; the knockout of such a gene changes {middle} % of the rest of the profile (median; {low} to {high})"
    say(f"{text}. Sizes are those of correlation: an upper bound of what is causal.")
