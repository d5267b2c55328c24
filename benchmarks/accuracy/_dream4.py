"""The gold-standard network of DREAM4 (100 genes), with cells simulated from it.

DREAM4 has no single cells: it has the network, without signs, and one noisy steady state per knockout, in which all
genes are present. So signs are those of the changes that its knockouts show at each edge (down: activating), weights
are drawn, uniform in 0.5 to 2, every gene gets a basal production (a repression of itself of weight 1: most genes have
no activator and would die out), and cells are simulated as those of depth 2,000 are. Predicted effects are held against
the truth of these cells and, by their size, against the edges of the gold standard, beside the true effects and
DREAM4's own knockouts. The signs of the latter are not compared: in the dynamics of the simulation a repressor adds to
the production of its target as long as it is there, so that its loss lowers the target; in DREAM4 it raises it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import dko

from ..inputs import DATA
from ._row import rows
from ._simulated import DEEP, N_NETWORKS, SETTINGS, against_truth
from ._truth import direct_targets, regulators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._job import Job
    from ._row import Row
    from ._targets import Target

NAME = "DREAM4"
_GOLD, _EXPRESSION = (f"dream4/dream4_{name}.tsv.gz" for name in ("gold_standard", "expression"))
FILES = (_GOLD, _EXPRESSION)


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for network in range(1 if quick else N_NETWORKS):
        yield measure, {"data": NAME, "network": network, "seeds": seeds, "quick": quick}


def measure(data: str, network: int, seeds: int, quick: bool) -> list[Row | Target]:
    """Return the scores of all methods, with one draw of weights and cells."""
    edges, states = _read()
    how = SETTINGS[DEEP] | ({"n_cells": 60} if quick else {})
    cells = dko.datasets.grn(network=_network(edges, states, network), rng=network, **how)
    with_targets = regulators(edges.to_numpy())
    targets = edges.to_numpy()[with_targets]

    def further(predicted: np.ndarray) -> dict[str, float]:
        predicted = np.where(np.eye(len(predicted), dtype=bool), np.nan, predicted)[with_targets]
        return {f"{name}_direct": value for name, value in direct_targets(predicted, targets).items()}

    measured = further(_knockouts(states)) if network == 0 else {}
    return [*against_truth(data, network, cells, seeds, quick, further), *rows(data, ["measurement"], measured)]


def _read() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the edges, regulators x targets, and the steady state after each knockout, knockouts x genes."""
    gold, expression = (pd.read_csv(DATA / name, sep="\t", index_col=0) for name in FILES)
    # The file has targets in rows: along its columns the knockouts find the edges (AUROC 0.86 against 0.65).
    edges = gold.T.astype(bool)
    states = expression[[f"{gene}(-/-)" for gene in edges.index]].T
    return edges, states.set_axis(edges.index)[edges.columns]


def _network(edges: pd.DataFrame, states: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give edges signs and weights, and every gene a basal production."""
    fall = states.median().to_numpy() - states.to_numpy()
    weights = np.random.default_rng(seed).uniform(0.5, 2, edges.shape)
    signed = np.where(edges, weights * np.where(fall > 0, 1, -1), 0.0)
    np.fill_diagonal(signed, -1.0)
    return pd.DataFrame(signed, index=edges.index, columns=edges.columns)


def _knockouts(states: pd.DataFrame) -> np.ndarray:
    """Return the effects that DREAM4 has measured, against the median of all knockouts: its wild type is one sample."""
    values, normal = states.to_numpy(), states.median().to_numpy()[None, :]
    return np.array([dko.metrics.effect(values[[g]], normal, without=[g]) for g in range(len(values))])
