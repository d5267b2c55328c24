"""What a knockout does at each of several doses, in the same cells: what both models have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

QUARTILES = {"impact_q25": 0.25, "impact_median": 0.5, "impact_q75": 0.75}


class Curve(NamedTuple):
    """One knockout at each dose.

    Attributes
    ----------
    impact, downstream
        Per cell, cells x doses.
    change
        Mean change of log expression over the cells, doses x genes; NaN at the genes that are knocked out.
    latent
        Length of the propagated shift at dose 1, of a model that has one.
    """

    impact: np.ndarray
    downstream: np.ndarray
    change: np.ndarray
    latent: float | None = None


def checked_doses(doses: Sequence[float] | np.ndarray | None, *, extrapolate: bool) -> np.ndarray:
    """Return doses in ascending order, each once; by default 0, 0.1 and so on to 1."""
    if doses is None:
        return np.linspace(0.0, 1.0, 11).round(1)
    found = np.unique(np.asarray(doses, dtype=float))
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"doses={doses!r} must hold at least one number, and neither NaN nor infinity.")
    outside = found[(found < 0) | (found > 1)]
    if len(outside) and not extrapolate:
        raise ValueError(
            f"The dose {outside[0]:g} is outside 0 (no knockout) to 1 (complete); with model='sccvae' and graded "
            "doses, extrapolate=True allows it, and what is predicted there was never seen in training."
        )
    return found


def table_of(curves: dict[str, Curve], doses: np.ndarray, threshold: float) -> pd.DataFrame:
    """Return a row per knockout and dose."""
    parts = []
    for label, curve in curves.items():
        quartiles = np.quantile(curve.impact, list(QUARTILES.values()), axis=0)
        part = {
            "knockout": label,
            "dose": doses,
            "impact_mean": curve.impact.mean(axis=0, dtype=float),
            **dict(zip(QUARTILES, quartiles, strict=True)),
            "downstream_mean": curve.downstream.mean(axis=0, dtype=float),
            "distance": np.sqrt(np.nansum(curve.change**2, axis=1)),
            "n_changed": (np.abs(np.nan_to_num(curve.change)) > threshold).sum(axis=1),
            "n_cells": len(curve.impact),
        }
        if curve.latent is not None:
            part["latent"] = curve.latent * np.abs(doses)
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def responders_of(curves: dict[str, Curve], doses: np.ndarray, genes: Sequence[str], n_genes: int) -> pd.DataFrame:
    """Return the genes that change most at the dose furthest from 0, most first: their mean change at each dose."""
    parts, furthest = [], 0 if -doses[0] > doses[-1] else -1
    for label, curve in curves.items():
        size = np.abs(curve.change[furthest])
        order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")
        top = [column for column in order[:n_genes] if np.isfinite(size[column])]
        part = {
            "knockout": label,
            "gene": np.repeat(np.asarray(genes, dtype=object)[top], len(doses)),
            "dose": np.tile(doses, len(top)),
            "change": curve.change[:, top].T.ravel(),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
