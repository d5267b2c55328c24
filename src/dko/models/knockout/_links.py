"""From the raw output of a map, affine in the assemblage, to something that is not negative: the link."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import torch

LINKS = ("abs", "softplus", "exp")


def check_link(link: str) -> str:
    """Return the name of a link, or say which there are."""
    if link not in LINKS:
        raise ValueError(f"No link {link!r}; choose one of {', '.join(LINKS)}.")
    return link


@njit(nogil=True, cache=True)
def apply_link(link: int, raw: Any) -> Any:
    """Return the output for a raw output; `link` counts in LINKS."""
    if link == 0:
        return abs(raw)
    if link == 1:
        return max(raw, np.float32(0)) + math.log1p(math.exp(-abs(raw)))
    return math.exp(raw)


@njit(nogil=True, cache=True)
def level_of(
    link: int,
    start: int,
    stop: int,
    indices: np.ndarray,
    sums: np.ndarray,
    per_gene: float,
    intercept: np.ndarray,
) -> Any:
    """Return what may be taken off all raw outputs of a cell, so that the largest exponential is 1; else 0.

    A profile does not change when all its outputs are multiplied by a number.
    """
    level = np.float32(0)
    if link == 2 and stop > start:
        level = np.float32(sums[start] * per_gene + intercept[indices[start]])
        for entry in range(start, stop):
            level = max(level, np.float32(sums[entry] * per_gene + intercept[indices[entry]]))
    return level


def apply_link_torch(link: str, raw: torch.Tensor) -> torch.Tensor:
    """Return the outputs for raw outputs, on their device."""
    if link == "abs":
        return raw.abs()
    return raw.exp() if link == "exp" else raw.logaddexp(raw.new_zeros(()))
