"""Arrows on an embedding: of some cells, or of the points of a grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Share of the arrows that are shown as long as they are: a few long ones do not make all others invisible.
_LONGEST = 0.9
# Cells, weighted by how near they are, that a point of the grid needs.
_FEWEST = 2.0


class Arrows(NamedTuple):
    """Where arrows begin, and how far they go: n x 2 each, in units of the embedding."""

    places: np.ndarray
    moves: np.ndarray


def some_arrows(places: np.ndarray, moves: np.ndarray, n: int, rng: np.random.Generator) -> Arrows:
    """Return the arrows of at most `n` cells that have one, in the order of the cells."""
    rows = _shifted(places, moves)
    rows = np.sort(rng.choice(rows, n, replace=False)) if len(rows) > n else rows
    return Arrows(places[rows], moves[rows])


def grid_arrows(places: np.ndarray, moves: np.ndarray, n: int) -> Arrows:
    """Return the mean move of the cells around each of at most `n` points of a square grid over the embedding.

    Weights are Gaussian, with half the step of the grid as their width; points that have less than the weight of two
    cells in the same place are left out.
    """
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    step = grid_step(places, n)
    counts = np.ceil((high - low) / step).clip(1).astype(int)
    axes = [start + step * (0.5 + np.arange(count)) for start, count in zip(low, counts, strict=True)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    rows = _shifted(places, moves)
    weights = np.stack([np.exp(-2 * ((places[rows] - point) ** 2).sum(axis=1) / step**2) for point in points])
    mass = weights.sum(axis=1)
    there = mass >= _FEWEST
    return Arrows(points[there], weights[there] @ moves[rows] / mass[there, None])


def grid_step(places: np.ndarray, n: int) -> float:
    """Return the step of a square grid of at most `n` points over the embedding."""
    sides = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    step = float(np.sqrt(sides.prod() / n)) or float(sides.max()) / n or 1.0
    while np.ceil(sides / step).clip(1).prod() > n:
        step *= 1.02
    return step


def _shifted(places: np.ndarray, moves: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isfinite(places).all(axis=1) & np.isfinite(moves).all(axis=1))


def extent(places: np.ndarray) -> float:
    """Return the diagonal of the embedding."""
    return float(np.linalg.norm(np.nanmax(places, axis=0) - np.nanmin(places, axis=0)))


def magnified(arrows: Arrows, longest: float) -> tuple[Arrows, float]:
    """Return arrows that are drawn well, and the round number by which they have grown.

    Nearly all are at most as long as `longest`; the few that would be longer are cut to it.
    """
    lengths = np.linalg.norm(arrows.moves, axis=1)
    usual = float(np.quantile(lengths, _LONGEST)) if len(lengths) else 0.0
    factor = rounded(longest / (usual or lengths.max())) if lengths.any() else 1.0
    cut = np.minimum(1.0, longest / np.maximum(lengths * factor, np.finfo(float).tiny))
    return Arrows(arrows.places, arrows.moves * (factor * cut)[:, None]), factor


def rounded(value: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(f"{max(digit for digit in (1, 2, 5) if digit * power <= value * (1 + 1e-9)) * power:.1g}")
