"""Fitting the model of unperturbed cells: a network per group of cells and, on real data, total effects beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ..._core import keys
from ..._core.evidence import counts_again
from ..._core.messages import listed, logger, many, say
from ..._core.process import give_back
from ...metrics import similarity
from .._devices import on_devices
from ..base import FDR
from ..fitting import Fit
from ..knockout import effect_sums
from ..rows import View, profiles, sizes_of, stacked
from . import network, total
from .config import MANY
from .prior import among, read_prior
from .quality import Explained, judged
from .regression import least_cells, of_rows, profile_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from .._training import Trained
    from ..fitting import Schedule, TrainingCells
    from ..knockout import AffineMap, AnyMap
    from .config import DkoConfig
    from .model import DkoModel
    from .prior import Prior
    from .total import TotalFit

    Networks: TypeAlias = dict[str, tuple[AffineMap, Trained]]

# Knockouts, and cells, that tell how much alike the effects of different knockouts are.
_SOME_GENES, _SOME_CELLS = 50, 200
# Share of the variance of levels that assemblages have to explain for direct effects to be better than total ones.
_EXPLAINED = 0.5
# What few hidden units have to explain for all of them to be tried: on real data they explain next to nothing more, at
# twice the time, and the network only decides which effects are better.
_PROMISING, _FEW, _ALL = 0.15, 192, 512
# And of very many genes: 128 have nearly the loss of 512, at a quarter of the time.
_FEWER = 128
# Of more validation cells than these, a random choice tells as well when to stop.
MOST_VALIDATING = 5_000
# Of more cells, all are in the sums that total effects are made from, and a random choice of so many is permuted to
# learn what chance makes.
MOST_PERMUTED = 50_000
# Share of the genes below which so few are known that more cells are asked for.
_FEW_KNOWN = 0.05


def fit(
    cells: TrainingCells,
    config: DkoConfig,
    schedule: Schedule,
    *,
    device: torch.device,
    rngs: Sequence[np.random.Generator],
    init: DkoModel | None = None,
) -> Fit:
    """Fit a network to each group and choose what the effects of knockouts are, as :func:`dko.tl.fit` says."""
    for_training, for_effects, *_ = rngs
    genes = cells.genes
    if len(genes) < 2:
        raise ValueError(f"A fit needs at least 2 expressed genes, got {len(genes)}.")
    if config.rank is not None and config.rank >= len(genes):
        raise ValueError(
            f"rank={config.rank!r} must be below the number of genes, {len(genes)}; leave it out for the full map."
        )
    known = read_prior(config.prior)
    prior = None if known is None else among(known, genes)
    _set_empty_cells_aside(cells)
    starts = {} if init is None else _starts(init, genes, list(cells.groups), config.rank)
    how: Any = {"config": config, "schedule": schedule, "starts": starts, "device": device, "rng": for_training}
    small = config.chosen != "direct" and len(genes) > _ALL and init is None
    width = _ALL if not small else _FEW if len(genes) <= MANY else _FEWER
    networks = _fit_networks(cells, width=width, **how)
    share, errors = _quality(cells, networks)
    complete = len(networks) == len(cells.groups) and not any(trained.interrupted for _, trained in networks.values())
    if small and share >= _PROMISING and complete:
        networks = _fit_networks(cells, width=_ALL, **how)
        share, errors = _quality(cells, networks)
    # Too few cells to judge are too few for regressions as well.
    effects = config.chosen or ("total" if share < _EXPLAINED else "direct")
    give_back()
    _tell(networks, share, effects, schedule.where(device), asked=config.chosen is not None)
    totals = _fit_totals(cells, list(networks), for_effects, prior) if effects == "total" else {}
    maps = {group: totals[group].factors if totals else affine for group, (affine, _) in networks.items()}
    alike = _similarity(maps, cells)
    if effects == "direct":
        say(f"Effects are direct ones; those of different knockouts correlate at {alike:.2f} (size, Spearman).")
    found = {"effects": effects, "explained": share, "similarity": alike}
    return Fit(
        _stacked([affine.arrays for affine, _ in networks.values()]) | _weights_of(list(totals.values())),
        {group: trained.history for group, (_, trained) in networks.items()},
        params={name: value for name, value in found.items() if value == value}  # not NaN
        | _prior_params(prior, list(totals.values())),
        groups=[group for group in networks if group],
        errors=errors,
    )


def _set_empty_cells_aside(cells: TrainingCells) -> None:
    """Leave cells out of the fit that express none of the genes, and groups of which too few are left."""
    rows, n_genes = cells.rows(*keys.SPLITS), len(cells.genes)
    empty = rows[sizes_of(cells.values)[rows] == 0]
    if not len(empty):
        return
    cells.split[empty] = keys.UNUSED
    able = {group: of for group, of in cells.groups.items() if {keys.TRAIN, keys.VALIDATION} <= set(cells.split[of])}
    if not able:
        raise ValueError(f"Too few cells express any of the {n_genes} genes to fit them; name more genes.")
    if unable := cells.groups.keys() - able.keys():
        logger.warning("Groups in which too few cells express the genes get no model: %s.", listed(sorted(unable)))
        for group in unable:
            cells.split[cells.groups[group]] = keys.UNUSED
    say(f"{len(empty)} of {len(rows)} cells express none of the {n_genes} genes and are left out of the fit.")
    cells.groups = able


def _starts(init: DkoModel, genes: list[str], groups: list[str], rank: int | None) -> dict[str, AffineMap]:
    """Return the map that each group starts from, on the genes of the new fit: the only one, or that of its name."""
    frame = init.frame
    if (there := frame.params.get("rank")) != rank:
        form = "a full map; leave out rank=..." if there is None else f"a map of rank {there}; fit with rank={there}"
        raise ValueError(f"init_from=... holds {form}, or start without it.")
    order = pd.Index(frame.genes).get_indexer(genes)
    if missing := [gene for gene, place in zip(genes, order, strict=True) if place < 0]:
        raise KeyError(
            f"init_from=... does not know {len(missing)} of the {len(genes)} genes: {listed(missing)}; "
            "fit on its genes, genes=adata.uns[...]['genes']."
        )
    if frame.groups and not {*groups} <= {*frame.groups}:
        raise KeyError(f"init_from=... has models for the groups {listed(frame.groups)}; fit with the same groupby=...")
    number = {group: frame.groups.index(group) if frame.groups else 0 for group in groups}
    return {group: init.part(number[group]).predicting.subset(order) for group in groups}


def _fit_networks(
    cells: TrainingCells,
    config: DkoConfig,
    schedule: Schedule,
    starts: dict[str, AffineMap],
    device: torch.device,
    rng: np.random.Generator,
    width: int,
) -> Networks:
    """Fit the profiles of each group; of fewer groups where the user stops it."""
    fits: Networks = {}
    # With other random numbers each: one group's model does not depend on another's.
    for group, own in zip(cells.groups, rng.spawn(len(cells.groups)), strict=True):
        rows = [cells.rows(part, group=group) for part in (keys.TRAIN, keys.VALIDATION)]
        if len(rows[1]) > MOST_VALIDATING:
            rows[1] = np.sort(own.choice(rows[1], MOST_VALIDATING, replace=False))
        training, validation = (View(cells.values, some, profiles) for some in rows)
        how: Any = {"rng": own, "width": width, "init": starts.get(group), "label": f"fit {group}".strip()}
        how |= {"device": device, "schedule": schedule}
        try:
            fits[group] = on_devices(network.fit, training, validation, config, **how)
        except KeyboardInterrupt:
            # Before its first validation a model has no weights worth keeping; the models before it have.
            if not fits:
                raise
            break
        if fits[group][1].interrupted:
            break
    if left := list(cells.groups)[len(fits) :]:
        logger.warning("Stopped by the user before the groups %s were fitted; they get no model.", listed(left))
        for group in left:
            cells.split[cells.groups[group]] = keys.UNUSED
    return fits


def _tell(networks: Networks, share: float, effects: str, where: str, *, asked: bool) -> None:
    """Say how long it took, how good the networks are, and what knockouts go by: as was asked for, or why."""
    histories = [trained.history for _, trained in networks.values()]
    loss = np.mean([history["validation_loss"].min() for history in histories])
    steps = sum(int(history["step"].max()) for history in histories)
    text = f"Fitted {many(len(networks), 'model')} in {many(steps, 'step')} on {where}: "
    text += f"validation Bray-Curtis {loss:.4f} (0 is best)"
    if np.isfinite(share):
        text += f", {round(100 * share)} % of the variance of genes explained (0 %: no better than their means)"
        half = "half or more" if effects == "direct" else "less than half, as usual in real cells"
        start = "Knockouts" if asked else f"This is {half}, so knockouts"
        source = "this model" if effects == "direct" else "regressions between pairs of genes, not from this model"
        text += f". {start} are computed from {source}"
    say(f"{text}.")


def _quality(cells: TrainingCells, networks: Networks) -> tuple[float, np.ndarray]:
    """Return how much of the levels of genes in validation cells assemblages explain, and the error of every cell.

    The errors are Bray-Curtis dissimilarities of predicted and observed profile. NaN is not known.
    """
    errors, found = np.full(len(cells.split), np.nan, dtype=np.float32), []
    for group, (affine, _) in networks.items():
        rows, explained = cells.everyone[group], Explained(len(cells.genes))
        validating = np.isin(rows, cells.rows(keys.VALIDATION, group=group))
        observed = View(cells.values, rows, profiles)
        least = least_cells(len(cells.genes), observed.sizes.mean())
        of_parts, parts = zip(*cells.each(partial(judged, affine, validating), observed, least), strict=True)
        errors[rows] = np.concatenate(of_parts)
        for part in parts:
            explained.join(part)
        if np.isfinite(share := explained.share()):
            found.append((share, validating.sum()))
    if not found:
        return float("nan"), errors
    shares, sizes = np.transpose(found)
    return float(np.average(shares, weights=sizes)), errors


def _fit_totals(
    cells: TrainingCells, groups: list[str], rng: np.random.Generator, prior: Prior | None
) -> dict[str, TotalFit]:
    """Estimate total effects in each group from its training and validation cells, of counts where they can be had."""
    rows = {group: cells.rows(keys.TRAIN, keys.VALIDATION, group=group) for group in groups}
    samples = {
        group: of if len(of) <= MOST_PERMUTED else np.sort(rng.choice(of, MOST_PERMUTED, replace=False))
        for group, of in rows.items()
    }
    every = np.concatenate(list(samples.values()))
    counted = cells.counts or counts_again(profiles(cells.values[every])) is not None

    how: Any = {"counts": cells.counts, "counted": counted}
    fits = {}
    for group, of in rows.items():
        relative, totals = zip(*profile_blocks(View(cells.values, samples[group]), **how), strict=True)
        more: Any = {"counts": counted, "prior": prior, "each": cells.each}
        if len(of) > MOST_PERMUTED:
            more["cells"] = of_rows(View(cells.values, of), cells.each, **how)
        fits[group] = total.fit(stacked(relative), np.concatenate(totals), rng, **more)
    return fits


def _similarity(maps: Mapping[str, AnyMap], cells: TrainingCells) -> float:
    """Return the mean rank correlation of the sizes of effects of common genes' knockouts; NaN with fewer than two."""
    found = []
    for group, affine in maps.items():
        rows = cells.groups[group]
        some = profiles(cells.values[rows[:: max(1, len(rows) // _SOME_CELLS)]])
        genes = np.sort(np.argsort(-some.getnnz(axis=0), kind="stable")[:_SOME_GENES])
        sums, _ = effect_sums(affine, some, genes, np.zeros(some.shape[0], dtype=int), 1)
        sums[0, np.arange(len(genes)), genes] = np.nan
        found.append(similarity(sums[0]))
    values = np.concatenate(found)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _stacked(arrays: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack the arrays of all groups; that of one alone is not copied."""
    first, *others = arrays
    return {name: np.stack([one[name] for one in arrays]) if others else first[name][None] for name in first}


def _weights_of(fits: list[TotalFit]) -> dict[str, np.ndarray]:
    """Return the arrays of the total effects of all groups, and the signal of each gene; say what was found."""
    if not fits:
        return {}
    # Of each gene, by its smallest p-value times the number of groups.
    rates = false_discovery_control(np.minimum(1, len(fits) * np.stack([fit.p_values for fit in fits]).min(0)))
    known = rates <= FDR
    text = f"For {known.sum():,} of {len(rates):,} genes these cells show that others depend on them (FDR <= 5 %)"
    if known.mean() < _FEW_KNOWN:
        text += ", which is few: more cells, or cells that differ more, would show more"
    if known.any():
        low, middle, high = (
            f"{100 * value:.1f}" for value in np.quantile([fit.downstream[known] for fit in fits], [0.1, 0.5, 0.9])
        )
        text += f"; the knockout of such a gene changes {middle} % of the rest of the profile (median; {low} to {high})"
    say(f"{text}. Sizes are those of correlation: an upper bound of what is causal.")
    found = _stacked([
        {place: getattr(fit.factors, name) for name, place in keys.TOTAL.items()}
        | {place: getattr(fit.null, name) for name, place in keys.NULL.items()}
        for fit in fits
    ])  # fmt: skip
    return found | {keys.SIGNAL: rates.astype(np.float32)}


def _prior_params(prior: Prior | None, fits: list[TotalFit]) -> dict[str, Any]:
    """Return, and say, how much prior knowledge there was, what it counted for, and whether the cells agree with it."""
    if prior is None:
        return {}
    n_effects = int(np.isfinite(prior.falls).sum())
    agreement = float(np.mean([fit.agreement for fit in fits if fit.agreement is not None]))
    say(
        f"Prior: {n_effects} {'measured effects' if prior.measured else 'edges'} of {len(prior.genes)} genes count "
        f"with a weight of {prior.weight}; all other genes are as without them. The cells alone give {agreement:.0%} "
        "of them the same sign (50 % by chance)."
    )
    return {
        "prior": prior.kind,
        "prior_weight": prior.weight,
        "prior_genes": len(prior.genes),
        "prior_effects": n_effects,
        "prior_agreement": agreement,
    }
