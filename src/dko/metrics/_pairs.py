"""Correlations of many effects with many, each pair without the genes that either has lost."""

from __future__ import annotations

import numpy as np

# Below this share of the sum of squares, a variance is rounding.
_ROUNDING = 1e-12


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each row of `a` with each row of `b`, over genes that are NaN in neither.

    Constant rows correlate at 0.
    """
    x, y = np.nan_to_num(a), np.nan_to_num(b)
    has_x, has_y = np.isfinite(a).astype(float), np.isfinite(b).astype(float)
    return _pearson(has_x @ has_y.T, x @ y.T, x @ has_y.T, has_x @ y.T, x**2 @ has_y.T, has_x @ (y**2).T)


def own(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return that of row i of `a` with row i of `b`, for each j also without the genes that are NaN in row j of `b`."""
    known = np.isfinite(a) & np.isfinite(b)
    x, y = np.where(known, a, 0.0), np.where(known, b, 0.0)
    there = np.isfinite(b).astype(float).T
    return _pearson(known.astype(float) @ there, (x * y) @ there, x @ there, y @ there, x**2 @ there, y**2 @ there)


def _pearson(n: np.ndarray, xy: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    """Return correlations from the number of genes and the sums over them."""
    n = np.maximum(n, 1)
    spread_x, spread_y = xx - x**2 / n, yy - y**2 / n
    defined = (spread_x > _ROUNDING * xx) & (spread_y > _ROUNDING * yy)
    scale = np.sqrt(np.where(defined, spread_x * spread_y, 1.0))
    return np.where(defined, (xy - x * y / n) / scale, 0.0)
