"""Exact knockouts without running a network: one subtraction per gene that is present.

With s = A z, n = sum(z): before the knockout the raw output at gene j is s_j / n + b_j. Without gene g it is
(s_j - A_jg) / (n - 1) + b_j for every other present j, and 0 at g. A dose d subtracts d A_jg, divides by n - d and
scales the output of g by 1 - d; a set of genes subtracts its columns together. Absent genes never enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._settings import settings
from .._threads import one_thread
from ._affine import AffineMap, normalise, weighted_sums
from ._loss import bray_curtis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

    Removals = Callable[[int, np.ndarray], np.ndarray]
    """(cell, its present genes) -> knockouts x genes removed, as positions among the present genes; -1 pads."""


@dataclass(frozen=True)
class CellKnockouts:
    """Knockouts of one cell (or some of them, where all would not fit into the memory budget).

    Attributes
    ----------
    cell
        Row number of the cell.
    genes
        Column numbers of its n present genes.
    first
        Number of the first of these knockouts among the m that were asked for in this cell.
    before
        Predicted profile, shape (n,).
    after
        Predicted profiles after each knockout, shape (n, m).
    """

    cell: int
    genes: np.ndarray
    first: int
    before: torch.Tensor
    after: torch.Tensor

    @property
    def part(self) -> slice:
        """Which of the m knockouts these are."""
        return slice(self.first, self.first + self.after.shape[1])

    @property
    def impact(self) -> np.ndarray:
        """Bray-Curtis dissimilarity after against before, float32, shape (m,)."""
        with one_thread():
            return bray_curtis(self.after, self.before[:, None], dim=0).cpu().numpy()


def locate(present: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the positions of `wanted` genes (any shape) among the sorted `present` ones, -1 where absent."""
    position = np.searchsorted(present, wanted)
    found = present[np.minimum(position, len(present) - 1)] == wanted if len(present) else False
    return np.where(found, position, -1)


def knockouts(
    affine: AffineMap,
    presence: sparse.csr_matrix,
    removals: Removals,
    *,
    device: torch.device,
    dose: float = 1.0,
    batch_size: int | None = None,
) -> Iterator[CellKnockouts]:
    """Yield the knockouts of every cell that has any; a cell without genes has none.

    Parameters
    ----------
    affine
        The fitted map.
    presence
        Cells x genes, float32, 1 where a gene is present, sorted indices.
    removals
        Tells which knockouts to make in a cell.
    dose
        Fraction that is removed, in (0, 1].
    batch_size
        Cells whose weighted sums are made at once; by default as many as the memory budget allows.
    """
    influence = torch.from_numpy(affine.influence).to(device)
    intercept = torch.from_numpy(affine.intercept).to(device)
    for cell, genes, sums in weighted_sums(affine, presence, device, batch_size):
        removed = removals(cell, genes)
        if not len(removed) or not len(genes):
            continue
        present = torch.from_numpy(genes.astype(np.int64)).to(device)
        before = normalise(sums / len(genes) + intercept[present])
        step = max(1, settings.memory_budget // (16 * len(genes) * removed.shape[1]))
        for first in range(0, len(removed), step):
            chosen = torch.from_numpy(removed[first : first + step]).to(device)
            with one_thread():
                after = _after(influence, intercept[present], present, sums, chosen, dose)
            yield CellKnockouts(cell, genes, first, before, after)


def _after(
    influence: torch.Tensor,
    intercept: torch.Tensor,
    present: torch.Tensor,
    sums: torch.Tensor,
    removed: torch.Tensor,
    dose: float,
) -> torch.Tensor:
    """Profiles (n, m) of one cell after m knockouts; `removed` is (m, k), padded with -1."""
    weight = dose * (removed >= 0).to(sums.dtype)
    position = removed.clamp_min(0)
    left = sums[:, None].repeat(1, len(removed))
    kept = torch.ones_like(left)
    for k in range(removed.shape[1]):
        left -= influence[present[:, None], present[position[:, k]]] * weight[:, k]
        kept[position[:, k], torch.arange(len(removed), device=kept.device)] -= weight[:, k]
    size = (len(present) - weight.sum(1)).clamp_min(torch.finfo(sums.dtype).eps)
    return normalise((left / size + intercept[:, None]) * kept)
