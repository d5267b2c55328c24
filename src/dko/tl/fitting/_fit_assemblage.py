"""Fitting the assemblage model, and the total effects of knockouts, to the cells of an AnnData."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core import keys
from ..._core.cells import Source, profiles
from ..._core.fitted import signal_column, source_params
from ..._core.groups import membership
from ..._core.messages import listed, logger, say
from ..._core.scale import Expression, read_expression
from ..._core.write import write_model
from ..._rng import generator
from ...pp._select_genes import choose
from ._fit_effects import check_effects, choose_effects, fit_totals, similarity_of, weights_of
from ._fit_groups import fit_error, fit_groups, history_of
from ._init_from import initial_maps
from ._prior import prior_params, read_prior
from ._schedule import schedule
from ._split import check_fractions, split_cells
from ._training_cells import training_cells

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from scipy import sparse

    from ..._rng import RNG
    from ...models.assemblage import Fit
    from ...models.knockout import AnyMap
    from ._prior import PriorKnowledge


def fit_assemblage(
    target: AnnData,
    *,
    preset: str | None,
    layer: str | None,
    use_raw: bool,
    log1p: bool | None,
    genes: str | Sequence[str] | None,
    n_top_genes: int | None,
    groupby: str | None,
    perturbation_key: str | None,
    control: str | None,
    init_from: str | Path | None,
    validation_fraction: float,
    test_fraction: float,
    rank: int | None,
    effects: str,
    prior: PriorKnowledge | None,
    device: str,
    rng: RNG,
    key_added: str,
    **training: Any,
) -> None:
    """Fit and write, as :func:`dko.tl.fit` says; `training` overrides the schedule."""
    _check_rank(rank, preset)
    check_effects(effects, preset, rank, prior=prior is not None)
    known = read_prior(prior)
    check_fractions(validation_fraction, test_fraction)
    chosen = schedule(preset, **training)
    # Streams of their own: the split does not depend on how a model trains, nor one group's model on another's.
    for_split, for_training, for_effects = generator(rng).spawn(3)
    cells = training_cells(target, groupby, perturbation_key, control)
    split = split_cells(cells, target.n_obs, validation_fraction, test_fraction, for_split)

    from ...models._device import resolve_device

    place = resolve_device(device)
    matrix = Source(target, layer, use_raw)
    expression = read_expression(matrix, log1p)
    names = _choose_genes(expression, split, genes, n_top_genes)
    if rank is not None and rank >= len(names):
        raise ValueError(
            f"rank={rank!r} must be below the number of genes, {len(names)}; leave it out for the full map."
        )
    concerned = None if known is None else known.among(names)
    relative = _profiles(expression, names)
    cells = _set_empty_cells_aside(split, relative, expression.values, cells, target)
    source = source_params(expression.scale, matrix)
    totals = _totals(expression, names)
    # As large as X, and no longer needed.
    del expression
    initial = initial_maps(target, init_from, names, list(cells), rank)
    rngs = for_training.spawn(len(cells))
    fits = fit_groups(relative, cells, split, initial, chosen, place, rngs, rank=rank, published=preset == "paper")
    for group in cells.keys() - fits.keys():
        split[cells[group]] = keys.UNUSED
    effects = effects if known is None else "total"
    found, explained = choose_effects(effects, preset, rank, relative, cells, split, fits, place)
    counts = source["values"] == "counts"
    of_all = (
        fit_totals(relative, totals, cells, split, list(fits), for_effects, counts=counts, prior=concerned)
        if found == "total"
        else {}
    )
    maps: dict[str, AnyMap] = {group: of_all[group].factors if of_all else fit.affine for group, fit in fits.items()}
    weights = _weights(fits) | weights_of(of_all)
    alike = similarity_of(maps, relative, cells)
    if found == "direct":
        say(f"Effects are direct ones; those of different knockouts correlate at {alike:.2f} (size, Spearman).")
    write_model(
        target,
        key_added,
        {
            keys.PARAMS: _params(
                model=keys.DKO,
                preset=preset,
                **source,
                groupby=groupby,
                perturbation_key=perturbation_key,
                control=control,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                rank=rank,
                effects=found,
                explained=_known(explained),
                similarity=_known(alike),
                **prior_params(known, concerned, list(of_all.values())),
                rng=int(rng) if isinstance(rng, int | np.integer) else None,
                **vars(chosen),
            ),
            keys.GENES: names,
            keys.GROUPS: [] if groupby is None else list(fits),
            **({} if groupby is None else {keys.CELLS: membership(target, groupby, list(fits))}),
            keys.WEIGHTS: weights,
            keys.HISTORY: history_of(fits, groupby),
        },
        var=signal_column(weights, names, target, key_added),
        obs={
            keys.split(key_added): pd.Categorical(split, categories=keys.SPLITS),
            keys.fit_error(key_added): fit_error(relative, target, groupby, fits, place),
        },
    )


def _check_rank(rank: int | None, preset: str | None) -> None:
    if rank is None:
        return
    if rank < 1:
        raise ValueError(f"rank={rank!r} must be a whole number above 0.")
    if preset == "paper":
        raise ValueError("preset='paper' has layers as wide as there are genes; leave out rank=... or the preset.")


def _weights(fits: dict[str, Fit]) -> dict[str, np.ndarray]:
    """Stack the arrays of the maps of all groups, under the names that they have there."""
    maps = [fit.affine.arrays for fit in fits.values()]
    return {name: np.stack([arrays[name] for arrays in maps]) for name in maps[0]}


def _choose_genes(
    expression: Expression, split: np.ndarray, genes: str | Sequence[str] | None, n_top_genes: int | None
) -> list[str]:
    """Choose the genes with the cells that the fit may look at: test cells and perturbed ones have no say."""
    seen = np.flatnonzero(np.isin(split, [keys.TRAIN, keys.VALIDATION]))
    values = expression.values if len(seen) == len(split) else expression.values[seen]
    return choose(values, expression.genes, genes, n_top_genes, everywhere=expression.values)


def _profiles(expression: Expression, names: list[str]) -> sparse.csr_matrix:
    """Return relative profiles over the chosen genes."""
    if len(names) < 2:
        raise ValueError(f"A fit needs at least 2 expressed genes, got {len(names)}.")
    values = expression.values
    if len(names) < len(expression.genes):
        values = values[:, pd.Index(expression.genes).get_indexer(names)]
        values.sort_indices()
    return profiles(values)


def _set_empty_cells_aside(
    split: np.ndarray,
    relative: sparse.csr_matrix,
    values: sparse.csr_matrix,
    cells: dict[str, np.ndarray],
    adata: AnnData,
) -> dict[str, np.ndarray]:
    """Refuse cells without any expression; leave out of the fit those that express none of the chosen genes.

    Returns the groups that can still be fitted.
    """
    rows = np.sort(np.concatenate(list(cells.values())))
    void = rows[np.diff(values.indptr)[rows] == 0]
    if len(void):
        raise ValueError(
            f"{len(void)} of {len(rows)} cells express no gene at all: {listed(adata.obs_names[void])}; "
            "filter them out first, sc.pp.filter_cells(adata, min_genes=1)."
        )
    empty = rows[np.diff(relative.indptr)[rows] == 0]
    if not len(empty):
        return cells
    split[empty] = keys.UNUSED
    able = {group: of for group, of in cells.items() if {keys.TRAIN, keys.VALIDATION} <= set(split[of])}
    if not able:
        raise ValueError(f"Too few cells express any of the {relative.shape[1]} genes to fit them; name more genes.")
    if unable := cells.keys() - able.keys():
        logger.warning("Groups in which too few cells express the genes get no model: %s.", listed(sorted(unable)))
        for group in unable:
            split[cells[group]] = keys.UNUSED
    say(f"{len(empty)} of {len(rows)} cells express none of the {relative.shape[1]} genes and are left out of the fit.")
    return able


def _totals(expression: Expression, names: list[str]) -> np.ndarray:
    """Return the sum of the values of the chosen genes in each cell."""
    chosen = np.isin(expression.genes, names).astype(np.float64)
    return np.asarray(expression.values @ chosen)


def _known(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _params(**values: Any) -> dict[str, Any]:
    """Keep what was given: None cannot be told from a missing entry once it has been in a file."""
    return {"version": version("dko"), **{name: value for name, value in values.items() if value is not None}}
