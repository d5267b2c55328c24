"""What knockouts have done to the cells of a screen, added up over blocks of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..._core.cells import MOST_CELLS
from ...metrics import changed_genes
from ...metrics._effects import Parts, agreement, drawn_halves, drawn_parts, shares, size_of_parts
from ...metrics._profiles import columns_mask
from ._screen import TEST_CELLS

if TYPE_CHECKING:
    from scipy import sparse

    from ._screen import Screen

# A rank test with many ties takes the normal distribution for granted, which holds for sides of similar size.
_MAX_RATIO = 2


class Measurement(NamedTuple):
    """A measured knockout; effects are NaN at the genes that were knocked out."""

    effect: np.ndarray
    effect_elsewhere: np.ndarray  # against unperturbed cells that are not held out
    changed: np.ndarray  # genes that differ from the held-out unperturbed cells
    ceiling: float
    size: float
    n_cells: int
    profile: np.ndarray  # mean of the unperturbed cells without the genes that were knocked out
    noise: float  # sampling variance of the effect, mean over its genes: the mean squared error of the truth
    halves: np.ndarray  # effects that two random halves of the cells show


def measure(
    screen: Screen, perturbed: np.ndarray, without: np.ndarray, n_splits: int, rng: np.random.Generator
) -> Measurement:
    """Measure one knockout in its cells, its size with as many a side as the knockout of the fewest has."""
    control, held_out = screen.control, screen.held_out
    gone = columns_mask(without, screen.values.shape[1])
    # Chance in the mean of control cells that were trained on would count as something predicted: it is in the
    # effects of all training perturbations too.
    apart = bool(screen.trained) and screen.held_out_are == TEST_CELLS
    reference = held_out if apart else np.ones(len(control), dtype=bool)
    n_test = min(n_of_test(screen, perturbed), MOST_CELLS)
    tested = drawn(perturbed, n_test, rng), drawn(control[held_out], n_test, rng)
    halves = drawn_halves(len(perturbed), n_splits, rng), drawn_halves(int(reference.sum()), n_splits, rng)
    halves = halves[0], halves[1].among(reference)
    n_size = min(len(control) // 2, *map(len, screen.perturbed.values()))
    of_size = (drawn_parts(len(rows), n_size, n, n_splits, rng) for n, rows in ((1, perturbed), (2, control)))
    sides = perturbed, control
    masks = np.ones((2, len(perturbed)), dtype=bool), np.stack([reference, ~held_out])
    after, before = (_added(screen, *one, without) for one in zip(sides, masks, halves, of_size, strict=True))
    effects = np.where(gone, np.nan, after.means - before.means)
    of_halves = after.halves - before.halves
    return Measurement(
        effect=effects[0],
        effect_elsewhere=effects[1],
        changed=changed_genes(*(screen.log_values(rows, without) for rows in tested), without=without, logged=True),
        ceiling=agreement(of_halves[..., ~gone]),
        size=size_of_parts(after.parts, before.parts),
        n_cells=len(perturbed),
        profile=before.profile,
        noise=float((after.noise + before.noise)[~gone].mean()),
        halves=np.where(gone, np.nan, of_halves[:, 0]),
    )


class _Side(NamedTuple):
    """Means over cells of one side, gene by gene."""

    means: np.ndarray  # of log values, over the cells of each of two masks
    noise: np.ndarray  # sampling variance of the first
    profile: np.ndarray  # of profiles
    halves: np.ndarray  # of log values in two halves of the first cells, again for every split
    parts: np.ndarray  # of profiles of parts, again for every split


def _added(
    screen: Screen, rows: np.ndarray, masks: np.ndarray, halves: Parts, parts: Parts, without: np.ndarray
) -> _Side:
    """Add up some cells; two `masks` choose among them."""
    found: list[Any] = [0.0] * 5
    for there, values in screen.log_blocks(rows, without):
        profiles, some = shares(values), masks[:, there].astype(float)
        added = [some @ values, some[0] @ values.power(2), total(profiles)]
        added += [halves.means(values, there), parts.means(profiles, there)]
        found = [before + more for before, more in zip(found, added, strict=True)]
    sums, squares, profile, *of_parts = found
    n = masks.sum(axis=1, keepdims=True)
    means = sums / n
    variance = np.maximum(squares / n[0] - means[0] ** 2, 0)
    return _Side(means, variance / (n[0] - 1), profile / len(rows), *of_parts)


def n_of_test(screen: Screen, perturbed: np.ndarray) -> int:
    """Return how many cells a side would be compared gene by gene."""
    return _MAX_RATIO * min(len(perturbed), int(screen.held_out.sum()))


def drawn(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return random rows, at most so many."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def total(values: np.ndarray | sparse.csr_array | sparse.csr_matrix) -> np.ndarray:
    """Return the sum over cells of each gene."""
    return np.asarray(values.sum(axis=0, dtype=float)).ravel()
