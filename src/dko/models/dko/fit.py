"""Fitting the model of unperturbed cells: a network per group of cells and, on real data, total effects beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import false_discovery_control

from ..._core import keys
from ..._core.cells import profiles
from ..._core.evidence import counts_again
from ..._core.messages import listed, logger, say
from ..fitting import Config, Fit, Presets, Schedule, TrainingCells
from .prior import Known, PriorKnowledge, read_prior

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from scipy import sparse

    from ..knockout import AffineMap, AnyMap
    from .model import DkoModel
    from .network import Fit as NetworkFit
    from .prior import Prior
    from .total import TotalFit


EFFECTS = ("auto", "direct", "total")
# Knockouts, and cells, that tell how much alike the effects of different knockouts are.
_SOME_GENES, _SOME_CELLS = 50, 200
# Share of the variance of levels that assemblages have to explain for direct effects to be better than total ones.
_EXPLAINED = 0.5
# What half as many hidden units have to explain for all of them to be tried: on real data they explain next to nothing
# more, at twice the time, and the network only decides which effects are better.
_PROMISING, _HALF = 0.2, 256
# False discovery rate above which nothing is known of what a gene does to others.
_NO_SIGNAL = 0.05


@dataclass(frozen=True)
class DkoConfig(Config):
    """Options of ``model="dko"``.

    Attributes
    ----------
    rank
        Rank of the gene x gene influence, which is then kept as the product of two matrices; None keeps the full one.
    effects
        What a knockout does to other genes: ``"direct"``, ``"total"``, or ``"auto"``.
    prior
        Known regulation, or effects measured elsewhere.
    """

    rank: int | None = None
    effects: str = "auto"
    prior: PriorKnowledge | None = None

    def __post_init__(self) -> None:
        if self.effects not in EFFECTS:
            raise ValueError(f"No effects {self.effects!r}; choose one of {', '.join(EFFECTS)}.")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank={self.rank!r} must be a whole number above 0.")
        if self.published and self.rank is not None:
            raise ValueError("preset='paper' has layers as wide as there are genes; leave out rank=... or the preset.")
        only_direct = "preset='paper'" if self.published else "rank=..." if self.rank is not None else None
        if only_direct and self.effects == "total":
            raise ValueError(f"{only_direct} has direct effects only; leave it out, or effects='total'.")
        if self.effects == "direct":
            only_direct = "effects='direct'"
        if only_direct and self.prior is not None:
            raise ValueError(f"prior=... is a part of total effects; leave it out, or {only_direct}.")
        read_prior(self.prior)

    @property
    def published(self) -> bool:
        """Whether all is as in arXiv 2510.03359."""
        return self.preset == "paper"

    @property
    def chosen(self) -> str | None:
        """The effects, where these are known before the fit."""
        if self.published or self.rank is not None:
            return "direct"
        return "total" if self.prior is not None else None if self.effects == "auto" else self.effects


PRESETS: Presets = {
    None: (DkoConfig(), Schedule(batch_size=64, learning_rate=0.004, max_steps=5_000, patience=3, reductions=2)),
    # arXiv 2510.03359
    "paper": (
        DkoConfig(preset="paper"),
        Schedule(batch_size=20, learning_rate=0.01, max_steps=5_000, validate_every=1),
    ),
}


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
    prior = None if known is None else known.among(genes)
    relative = profiles(cells.values)
    _set_empty_cells_aside(cells, relative)
    starts = {} if init is None else _starts(init, genes, list(cells.groups), config.rank)
    how: Any = {"config": config, "schedule": schedule, "starts": starts, "device": device, "rng": for_training}
    small = config.chosen != "direct" and len(genes) > 2 * _HALF and init is None
    networks = _fit_networks(cells, relative, width=_HALF if small else 2 * _HALF, **how)
    share = _explained(cells, relative, networks)
    complete = len(networks) == len(cells.groups) and not any(one.trained.interrupted for one in networks.values())
    if small and share >= _PROMISING and complete:
        try:
            networks = _fit_networks(cells, relative, width=2 * _HALF, **how)
        except KeyboardInterrupt:
            logger.warning("Stopped by the user: the model is the one of %d hidden units.", _HALF)
        share = _explained(cells, relative, networks)
    # Too few cells to judge are too few for regressions as well.
    effects = config.chosen or ("total" if share < _EXPLAINED else "direct")
    totals = _fit_totals(cells, relative, list(networks), for_effects, prior) if effects == "total" else {}
    maps: dict[str, AnyMap] = {
        group: totals[group].factors if totals else network.affine for group, network in networks.items()
    }
    alike = _similarity(maps, relative, cells)
    if effects == "direct":
        say(f"Effects are direct ones; those of different knockouts correlate at {alike:.2f} (size, Spearman).")
    found = {"effects": effects, "explained": share, "similarity": alike}
    return Fit(
        _stacked([network.affine.arrays for network in networks.values()]) | _weights_of(list(totals.values())),
        {group: network.trained.history for group, network in networks.items()},
        params={name: value for name, value in found.items() if value == value}  # not NaN
        | _prior_params(known, prior, list(totals.values())),
        groups=[group for group in networks if group],
        errors=_errors(cells, relative, networks),
    )


def _set_empty_cells_aside(cells: TrainingCells, relative: sparse.csr_matrix) -> None:
    """Leave cells out of the fit that express none of the genes, and groups of which too few are left."""
    rows = cells.rows(*keys.SPLITS)
    empty = rows[np.diff(relative.indptr)[rows] == 0]
    if not len(empty):
        return
    cells.split[empty] = keys.UNUSED
    able = {group: of for group, of in cells.groups.items() if {keys.TRAIN, keys.VALIDATION} <= set(cells.split[of])}
    if not able:
        raise ValueError(f"Too few cells express any of the {relative.shape[1]} genes to fit them; name more genes.")
    if unable := cells.groups.keys() - able.keys():
        logger.warning("Groups in which too few cells express the genes get no model: %s.", listed(sorted(unable)))
        for group in unable:
            cells.split[cells.groups[group]] = keys.UNUSED
    say(f"{len(empty)} of {len(rows)} cells express none of the {relative.shape[1]} genes and are left out of the fit.")
    cells.groups = able


def _starts(init: DkoModel, genes: list[str], groups: list[str], rank: int | None) -> dict[str, AffineMap]:
    """Return the map that each group starts from, on the genes of the new fit: the only one, or that of its name."""
    frame = init.frame
    if (there := frame.params.get("rank")) != rank:
        form = "a full map; leave out rank=..." if there is None else f"a map of rank {there}; fit with rank={there}"
        raise ValueError(f"init_from=... holds {form}, or start without it.")
    position = {gene: i for i, gene in enumerate(frame.genes)}
    if missing := [gene for gene in genes if gene not in position]:
        raise KeyError(
            f"init_from=... does not know {len(missing)} of the {len(genes)} genes: {listed(missing)}; "
            "fit on its genes, genes=adata.uns[...]['genes']."
        )
    if absent := [group for group in groups if frame.groups and group not in frame.groups]:
        if groups == [""]:
            raise KeyError("init_from=... has a model per group; fit with groupby=..., too.")
        raise KeyError(f"init_from=... has no model for {listed(absent)}; it has {listed(frame.groups)}.")
    order = np.array([position[gene] for gene in genes])
    number = {group: frame.groups.index(group) if frame.groups else 0 for group in groups}
    return {group: init.part(number[group]).predicting.subset(order) for group in groups}


def _fit_networks(
    cells: TrainingCells,
    relative: sparse.csr_matrix,
    config: DkoConfig,
    schedule: Schedule,
    starts: dict[str, AffineMap],
    device: torch.device,
    rng: np.random.Generator,
    width: int,
) -> dict[str, NetworkFit]:
    """Fit the profiles of each group; of fewer groups where the user stops it."""
    from . import network

    fits: dict[str, NetworkFit] = {}
    # With other random numbers each: one group's model does not depend on another's.
    for group, own in zip(cells.groups, rng.spawn(len(cells.groups)), strict=True):
        try:
            fits[group] = network.fit(
                relative[cells.rows(keys.TRAIN, group=group)],
                relative[cells.rows(keys.VALIDATION, group=group)],
                schedule,
                device=device,
                rng=own,
                init=starts.get(group),
                rank=config.rank,
                published=config.published,
                width=width,
                label=f"fit {group}".strip(),
            )
        except KeyboardInterrupt:
            # Before its first validation a model has no weights worth keeping; the models before it have.
            if not fits:
                raise
            break
        if fits[group].trained.interrupted:
            break
    if left := list(cells.groups)[len(fits) :]:
        logger.warning("Stopped by the user before the groups %s were fitted; they get no model.", listed(left))
        for group in left:
            cells.split[cells.groups[group]] = keys.UNUSED
    losses = [fit.trained.history["validation_loss"].min() for fit in fits.values()]
    steps = sum(int(fit.trained.history["step"].max()) for fit in fits.values())
    say(f"Fitted {len(fits)} model(s) in {steps} steps on {device}: validation Bray-Curtis {np.mean(losses):.4f}.")
    return fits


def _explained(cells: TrainingCells, relative: sparse.csr_matrix, networks: dict[str, NetworkFit]) -> float:
    """Return how much of the levels of genes the assemblages of validation cells explain; NaN if that is unknown."""
    from ..knockout import predict
    from .total import explained

    shares, n_cells = [], []
    for group, network in networks.items():
        observed = relative[cells.rows(keys.VALIDATION, group=group)]
        shares.append(explained(observed, predict(network.affine, observed).data))
        n_cells.append(observed.shape[0])
    judged = np.isfinite(shares)
    if not judged.any():
        return float("nan")
    return float(np.average(np.array(shares)[judged], weights=np.array(n_cells)[judged]))


def _fit_totals(
    cells: TrainingCells,
    relative: sparse.csr_matrix,
    groups: list[str],
    rng: np.random.Generator,
    prior: Prior | None,
) -> dict[str, TotalFit]:
    """Estimate total effects in each group from its training and validation cells, of counts where they can be had."""
    from . import total

    counts = cells.values if cells.counts else counts_again(relative)
    values = cells.values if counts is None else counts
    totals = values @ np.ones(values.shape[1])  # in double precision, other than by sum()
    fits = {}
    for group in groups:
        rows = cells.rows(keys.TRAIN, keys.VALIDATION, group=group)
        fits[group] = total.fit(relative[rows], totals[rows], rng, counts=counts is not None, prior=prior)
    return fits


def _similarity(maps: dict[str, AnyMap], relative: sparse.csr_matrix, cells: TrainingCells) -> float:
    """Return the mean rank correlation of the sizes of effects of common genes' knockouts; NaN with fewer than two."""
    from ...metrics import similarity
    from ..knockout import effect_sums

    found = []
    for group, affine in maps.items():
        rows = cells.groups[group]
        some = relative[rows[:: max(1, len(rows) // _SOME_CELLS)]]
        n_cells = np.bincount(some.indices, minlength=some.shape[1])
        genes = np.sort(np.argsort(-n_cells, kind="stable")[:_SOME_GENES])
        sums, _ = effect_sums(affine, some, genes, np.zeros(some.shape[0], dtype=int), 1)
        sums[0, np.arange(len(genes)), genes] = np.nan
        found.append(similarity(sums[0]))
    values = np.concatenate(found)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _errors(cells: TrainingCells, relative: sparse.csr_matrix, networks: dict[str, NetworkFit]) -> np.ndarray:
    """Return the Bray-Curtis dissimilarity of predicted and observed profile of every cell that has a model."""
    from ...metrics import bray_curtis
    from ..knockout import predict

    errors = np.full(relative.shape[0], np.nan, dtype=np.float32)
    for group, network in networks.items():
        rows = cells.everyone[group]
        observed = relative[rows]
        errors[rows] = bray_curtis(predict(network.affine, observed), observed)
    return errors


def _stacked(arrays: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack the arrays of all groups."""
    return {name: np.stack([one[name] for one in arrays]) for name in arrays[0]}


def _weights_of(fits: list[TotalFit]) -> dict[str, np.ndarray]:
    """Return the arrays of the total effects of all groups, and the signal of each gene; say what was found."""
    if not fits:
        return {}
    # Of each gene, by its smallest p-value times the number of groups.
    rates = false_discovery_control(np.minimum(1, len(fits) * np.stack([fit.p_values for fit in fits]).min(0)))
    known = rates <= _NO_SIGNAL
    text = f"For {int(known.sum())} of {len(rates)} genes these cells show that others depend on them (FDR <= 5 %)"
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


def _prior_params(known: Known | None, prior: Prior | None, fits: list[TotalFit]) -> dict[str, Any]:
    """Return, and say, how much prior knowledge there was, what it counted for, and whether the cells agree with it."""
    if known is None or prior is None:
        return {}
    n_effects = int(np.isfinite(prior.falls).sum())
    agreement = float(np.mean([fit.agreement for fit in fits if fit.agreement is not None]))
    say(
        f"Prior: {n_effects} {'measured effects' if known.measured else 'edges'} of {len(prior.genes)} genes count "
        f"with a weight of {prior.weight}; all other genes are as without them. The cells alone give {agreement:.0%} "
        "of them the same sign (50 % by chance)."
    )
    return {
        "prior": known.kind,
        "prior_weight": prior.weight,
        "prior_genes": len(prior.genes),
        "prior_effects": n_effects,
        "prior_agreement": agreement,
    }
