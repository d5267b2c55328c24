"""What is said of modules: the genes that mark them, and how they agree with groups that a user knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..._core import keys
from ..._core.names import members
from ...metrics import neighbour_agreement

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence


def silhouettes(directions: np.ndarray, modules: np.ndarray) -> np.ndarray:
    """Return how much closer each vector is to its own module than to the next, -1 to 1; NaN where there is no next."""
    from sklearn.metrics import silhouette_samples

    found = np.full(len(modules), np.nan)
    rows = modules != keys.NO_EFFECT
    if 1 < len(np.unique(modules[rows])) < rows.sum():
        found[rows] = silhouette_samples(directions[rows], modules[rows], metric="cosine")
    return found


def markers_of(
    effects: np.ndarray, modules: np.ndarray, sets: Sequence[Sequence[str]], genes: Sequence[str], n_genes: int
) -> pd.DataFrame:
    """Return the genes whose mean change in a module differs most from that in all others; own targets do not count."""
    effects = effects.astype(np.float64)
    for row, targets in enumerate(sets):
        effects[row, np.isin(genes, list(targets))] = np.nan
    parts = []
    for module in sorted(set(modules) - {keys.NO_EFFECT}, key=int):
        inside, outside = modules == module, (modules != module) & (modules != keys.NO_EFFECT)
        change, others = _mean(effects[inside]), _mean(effects[outside])
        apart = np.abs(change - np.nan_to_num(others))
        top = np.argsort(-np.nan_to_num(apart, nan=-1.0), kind="stable")[:n_genes]
        names = np.asarray(genes, dtype=object)[top]
        parts.append(pd.DataFrame({"module": module, "gene": names, "change": change[top], "others": others[top]}))
    columns = {"module": str, "gene": str, "change": float, "others": float}
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({name: [] for name in columns}).astype(columns)
    )


def _mean(effects: np.ndarray) -> np.ndarray:
    """Return the mean over rows, without NaN; NaN where nothing is left."""
    n = np.isfinite(effects).sum(axis=0)
    return np.where(n > 0, np.nansum(effects, axis=0) / np.maximum(n, 1), np.nan)


def known_groups(
    groups: Mapping[str, str] | pd.Series | None, labels: Sequence[str], genes: Container[str]
) -> np.ndarray | None:
    """Return the group of each perturbation as the user knows it, '' where he does not; ``"B+A"`` is ``"A+B"``."""
    if groups is None:
        return None
    given = {keys.label(members(str(name), genes)): group for name, group in dict(groups).items() if not pd.isna(group)}
    found = np.array([str(given.get(label, "")) for label in labels], dtype=object)
    if len(set(found) - {""}) < 2:
        raise ValueError(
            f"groups says of {int((found != '').sum())} of the {len(labels)} perturbations which of "
            f"{len(set(found) - {''})} groups they belong to; it needs two groups or more, by name of the perturbation."
        )
    return found


def agreement_of(
    basis: str, over: str, vectors: np.ndarray, modules: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, object]:
    """Return a row of the table of agreement with known groups."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    known = groups != ""
    groups, modules = groups[known].astype(str), modules[known].astype(str)
    near = neighbour_agreement(vectors[known], groups, rng=seed)
    enough = len(groups) > 1
    return {
        "basis": basis,
        "over": over,
        "n_perturbations": len(groups),
        "n_modules": len(set(modules)),
        "ari": adjusted_rand_score(groups, modules) if enough else np.nan,
        "nmi": normalized_mutual_info_score(groups, modules) if enough else np.nan,
        "neighbours": near.share,
        "neighbours_expected": near.expected,
        "neighbours_p": near.p_value,
    }
