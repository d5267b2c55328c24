"""How far predicted cells are from the perturbed ones, along some axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...metrics import energy_distance, mmd
from ._measured import drawn

if TYPE_CHECKING:
    from ._screen import Screen

# Most cells on a side of a distance, which takes all pairs.
N_SAMPLED = 500


class Sample(NamedTuple):
    """Some cells of a knockout and unperturbed ones, where they are along the axes (cells x axes)."""

    rows: np.ndarray  # those of `before`
    before: np.ndarray
    other: np.ndarray  # as many other unperturbed cells
    perturbed: np.ndarray


def sample(
    screen: Screen, perturbed: np.ndarray, without: np.ndarray, axes: np.ndarray, rng: np.random.Generator
) -> Sample:
    """Draw cells of one knockout and unperturbed ones, without its genes."""
    control = screen.control[rng.permutation(len(screen.control))]
    size = min(N_SAMPLED, len(control) // 2)
    of_sides = control[:size], control[size : 2 * size], drawn(perturbed, N_SAMPLED, rng)
    return Sample(of_sides[0], *(screen.log_values(rows, without) @ axes for rows in of_sides))


def distances(cells: Sample, change: np.ndarray) -> dict[str, dict[str, float]]:
    """Return how far unperturbed cells, with and without the predicted change, are from the perturbed ones."""
    from scipy.spatial.distance import pdist

    bandwidth = float(np.median(pdist(cells.before)))
    sides = {
        "model": (cells.before + change, cells.perturbed),
        "no change": (cells.before, cells.perturbed),
        "measurement": (cells.before, cells.other),
    }
    return {
        method: {
            "energy_distance": energy_distance(*both),
            "mmd": mmd(*both, bandwidth=bandwidth) if bandwidth > 0 else np.nan,
        }
        for method, both in sides.items()
    }
