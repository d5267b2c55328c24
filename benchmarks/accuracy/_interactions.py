"""Simulated cells whose double knockouts are known exactly: which pairs do how much more or less than their parts."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

import dko

from ._models import DEFAULT, models
from ._row import Row, rows
from ._simulated import CLEAN, DEEP, N_NETWORKS, SETTINGS, network_of
from ._truth import baselines, others_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

    from ._job import Job

# Data sets, and the settings of the simulations that they are.
NAMES = {f"pairs, {setting}": setting for setting in (CLEAN, DEEP)}
FILES: tuple[str, ...] = ()
_N_GENES, _FEWEST, _ROUNDING = 30, 10, 1e-9
SUM_OF_IMPACTS = "minus the sum of the impacts (default)"


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in list(NAMES)[:1] if quick else NAMES:
        for network in range(1 if quick else N_NETWORKS):
            yield measure, {"data": data, "network": network, "seeds": seeds, "quick": quick}


def measure(data: str, network: int, seeds: int, quick: bool) -> list[Row]:
    """Return the scores of all methods on the cells of one network."""
    how = SETTINGS[NAMES[data]] | ({"n_cells": 60} if quick else {})
    cells = dko.datasets.grn(network=network_of(network, 30 if quick else 100), rng=network, decay=1.0, **how)
    names = np.random.default_rng(network).choice(cells.var_names, 8 if quick else _N_GENES, replace=False)
    pairs = list(combinations(sorted(names), 2))
    return list(_scores(data, network, cells, pairs, seeds, quick))


def _scores(
    data: str, network: int, cells: AnnData, pairs: Sequence[tuple[str, str]], seeds: int, quick: bool
) -> Iterator[Row]:
    true, additive = true_interactions(cells, pairs)

    def scores(predicted: np.ndarray, sums: np.ndarray) -> dict[str, float]:
        return {
            "interaction": dko.metrics.correlation(predicted, true, method="spearman"),
            "relative": dko.metrics.correlation(predicted / sums, true / additive, method="spearman"),
        }

    for names, seed, fitted in models(cells, range(seeds), quick=quick):
        dko.tl.interactions(fitted, pairs, n_permutations=10, min_cells=_FEWEST)
        table = dko.get.interactions(fitted).set_index(["gene_a", "gene_b"]).reindex(pairs)
        found, sums = (table[column].to_numpy(dtype=float) for column in ("interaction", "additive"))
        yield from rows(data, names, scores(found, sums), network=network, seed=seed)
        if DEFAULT in names:
            of_sums = {"interaction": scores(-sums, sums)["interaction"]}
            yield from rows(data, [SUM_OF_IMPACTS], of_sums, network=network, seed=seed)
    for name, (predicted, sums) in expression_says(cells, pairs, network).items():
        yield from rows(data, [name], scores(predicted, sums), network=network)


def true_interactions(cells: AnnData, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean true interaction of pairs, and the mean sum of the downstream impacts of their genes.

    Both over the cells in which both genes are seen; NaN where these are fewer than ten.
    """
    before, seen = dko.datasets.grn_knockout(cells, []).toarray(), cells.X.toarray() > 0
    single = {
        gene: others_apart(
            before, dko.datasets.grn_knockout(cells, gene).toarray(), cells.var_names.get_indexer([gene])
        )
        for gene in sorted({gene for pair in pairs for gene in pair})
    }
    found = np.full((len(pairs), 2), np.nan)
    for number, pair in enumerate(pairs):
        columns = cells.var_names.get_indexer(pair)
        has = np.flatnonzero(seen[:, columns].all(axis=1))
        if len(has) < _FEWEST:
            continue
        after = dko.datasets.grn_knockout(cells, list(pair), cells=list(cells.obs_names[has])).toarray()
        additive = np.sum([single[gene][has] for gene in pair], axis=0)
        found[number] = (others_apart(before[has], after, columns) - additive).mean(), additive.mean()
    return found[:, 0], found[:, 1]


def expression_says(
    cells: AnnData, pairs: Sequence[tuple[str, str]], rng: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return interactions, and what they are relative to, without a model: from shares, and from co-expression.

    Changes that baselines predict, of log expression, are taken to first order for changes of profiles.
    """
    shares = np.asarray((cells.X / cells.X.sum(axis=1)).mean(axis=0)).ravel()
    columns = np.array([cells.var_names.get_indexer(pair) for pair in pairs])
    of_pair, ones = shares[columns], np.ones(len(pairs))
    found = {
        "minus the product of shares": (-of_pair.prod(axis=1), ones),
        "minus the sum of shares": (-of_pair.sum(axis=1), ones),
        "minus the smaller share": (-of_pair.min(axis=1), ones),
    }
    for name, effects in baselines(cells, np.arange(cells.n_vars), rng).items():
        changes = np.nan_to_num(effects) * shares
        sizes = np.abs(changes).sum(axis=1)[columns].sum(axis=1)
        if (sizes > 0).all():
            both = np.abs(changes[columns].sum(axis=1)).sum(axis=1)
            interaction = both - sizes
            found[name] = (np.where(np.abs(interaction) > _ROUNDING * sizes, interaction, 0.0), sizes)
    return found
