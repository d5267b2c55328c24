"""Prior knowledge that a user gives to a fit: a network of regulation, or effects that were measured elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from ..._core.messages import listed, shown

if TYPE_CHECKING:
    from collections.abc import Sequence


PriorKnowledge: TypeAlias = Any
"""A DataFrame, checked by :func:`read_prior`."""

_EDGES = ("source", "target", "weight")
_DOROTHEA = ("tf", "target", "mor")
_LEVELS = "ABCDE"


def read_prior(prior: PriorKnowledge | None) -> pd.DataFrame | None:
    """Check what a user gives: edges (source, target, weight above 0 where it activates), or perturbations x genes."""
    if prior is None:
        return None
    if not isinstance(prior, pd.DataFrame):
        raise TypeError(
            f"prior={shown(prior)} must be a table with the columns source, target and weight, or measured effects: an "
            "AnnData or a DataFrame of perturbations x genes."
        )
    return _edges(prior) if {"source", "target", "tf"} & set(prior.columns) else _effects(prior)


def _edges(table: pd.DataFrame) -> pd.DataFrame:
    table, columns = table.reset_index(drop=True), list(_DOROTHEA if "tf" in table else _EDGES)
    if missing := [name for name in columns if name not in table]:
        raise ValueError(
            f"prior has no column {missing[0]!r}; a network has the columns {', '.join(columns)}, and effects measured "
            "elsewhere have perturbations in rows and genes in columns."
        )
    unknown = table[columns].isna().any()
    if unknown.any():
        raise ValueError(f"prior has rows without a value in column {unknown.idxmax()!r}; drop or fill these.")
    found = table[columns[:2]].astype(str).join(_numbers(table[columns[2:]])).set_axis(list(_EDGES), axis=1)
    if "tf" in table and "confidence" in table:
        level = table["confidence"].astype(str).map({letter: rank for rank, letter in enumerate(_LEVELS, 1)})
        if level.isna().any():
            raise ValueError(f"prior has {level.isna().sum()} rows with a confidence that is none of A to E.")
        found["weight"] /= level.to_numpy()
    if (again := found.duplicated(["source", "target"])).any():
        first = found[again].iloc[0]
        raise ValueError(f"prior has {first['source']} -> {first['target']} more than once; keep one row of each edge.")
    return found[found["weight"] != 0]


def _effects(table: pd.DataFrame) -> pd.DataFrame:
    found = _numbers(table).set_axis(table.index.astype(str), axis=0).set_axis(table.columns.astype(str), axis=1)
    for axis, what in ((found.index, "perturbation"), (found.columns, "gene")):
        if (again := axis.duplicated()).any():
            raise ValueError(f"prior has the {what} {axis[again][0]!r} more than once; average these first.")
    return found


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the values as floats, NaN left as they are."""
    for name, values in table.items():
        numbers = pd.to_numeric(values, errors="coerce")
        if len(wrong := values[numbers.isna() & values.notna()]):
            raise ValueError(f"Column {name!r} of prior holds {shown(wrong.iloc[0])}, and must hold numbers.")
        if np.isinf(numbers).any():
            raise ValueError(f"Column {name!r} of prior holds an infinite value; replace or drop it.")
    return table.astype(float)


# Size of what a network adds to the effects of a gene, relative to these: by its targets, and by what they do in turn.
# Chosen by leaving out each set of cells of the benchmark in turn (docs/accuracy.md).
_NETWORK = 0.3
# Weight of measured effects in their mean with those that the cells give.
_MEASURED = 0.5
# No single target moves by more than this many times the typical effect of the gene.
_LARGEST = 2.0
# Genes that fewer cells have count as if these did.
_LEAST_SHARE = 0.02
_TINY = 1e-12


@dataclass(frozen=True)
class Prior:
    """What the loss of some genes is known to do."""

    genes: np.ndarray  # of which something is known (k,)
    # By how much the log of the share of every gene falls when each of these is lost (k x genes), NaN where nothing is
    # known. Of a network the sign and the ratios of the weights are used, not their size.
    falls: np.ndarray
    measured: bool  # whether these are measured effects, and not a network

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "measured effects" if self.measured else "network"

    @property
    def weight(self) -> float:
        """How much it counts beside the cells."""
        return _MEASURED if self.measured else _NETWORK


def among(table: pd.DataFrame, genes: Sequence[str]) -> Prior:
    """Return what a table that is checked says of the genes of the fit; a ValueError if nothing."""
    measured, index = list(table) != list(_EDGES), pd.Index(genes)
    if measured:
        falls = -table.reindex(index=index, columns=index).to_numpy()
    else:
        source, target = (index.get_indexer(table[end]) for end in _EDGES[:2])
        falls, there = np.full((len(index), len(index)), np.nan), (source >= 0) & (target >= 0)
        falls[source[there], target[there]] = table["weight"].to_numpy()[there]
    np.fill_diagonal(falls, np.nan)
    of = np.flatnonzero(np.isfinite(falls).any(axis=1))
    if not len(of):
        names, what = (table.index, "perturbations") if measured else (pd.Index(table["source"]), "edges")
        raise ValueError(
            f"prior has no values for the genes of the fit, such as {listed(genes, 3)}: it has {len(names)} {what} of "
            f"{listed(names.unique(), 3)}. Both need the same names (symbols of the same species); name a regulator "
            "that the fit left out in genes=[...]."
        )
    return Prior(of, falls[of].astype(np.float32), measured)


def with_prior(influence: np.ndarray, prior: Prior, share: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """Return a copy of the map with what is known (docs/design.md, Prior knowledge); other columns stay as they were.

    `share` is that of the cells that have each gene, `zeros` that of its zeros that were only not sampled, or are
    regulated.
    """
    data = influence[:, prior.genes].T
    if prior.measured:
        found = np.where(np.isnan(prior.falls), data, (1 - prior.weight) * data + prior.weight * prior.falls)
    else:
        added = _of_network(influence, prior, np.maximum(share, _LEAST_SHARE))
        found = data + zeros[prior.genes, None] * added
    places = np.arange(len(prior.genes))
    found[places, prior.genes] = data[places, prior.genes]
    changed = influence.copy()
    changed[:, prior.genes] = found.T
    return changed


def agreement(influence: np.ndarray, prior: Prior) -> float:
    """Return the share of what is known of which the map has the same sign; one half is chance."""
    data, known = influence[:, prior.genes].T, np.nan_to_num(prior.falls)
    same = (np.sign(data) == np.sign(known))[known != 0]
    return float(same.mean()) if same.size else 0.5


def _of_network(influence: np.ndarray, prior: Prior, share: np.ndarray) -> np.ndarray:
    edges = np.nan_to_num(prior.falls)
    targets = np.flatnonzero(edges.any(axis=0))
    of_targets = influence[:, targets].T.astype(np.float64)
    of_targets[np.arange(len(targets)), targets] = 0
    onward = edges[:, targets] @ (of_targets / _size(of_targets, share))
    onward[np.arange(len(edges)), prior.genes] = 0
    size = _size(influence[:, prior.genes].T, share)
    direct = np.clip(prior.weight * edges * share / _size(edges, share), -_LARGEST, _LARGEST) / share
    return size * (direct + prior.weight * onward / _size(onward, share))


def _size(effects: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the root mean square of the effects of each gene, as all cells show them (column)."""
    return np.maximum(np.sqrt(np.mean((effects * share) ** 2, axis=1, keepdims=True)), _TINY)
