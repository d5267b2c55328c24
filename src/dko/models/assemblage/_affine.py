"""A fitted model in its simplest form: one gene x gene matrix and one intercept per gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._settings import settings
from .._batches import dense_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scipy import sparse


@dataclass(frozen=True)
class AffineMap:
    """Raw outputs |A z / sum(z) + b| of a model that is affine before its link.

    Attributes
    ----------
    influence
        A, float32, genes x genes: column g is what the presence of gene g adds to every gene j.
    intercept
        b, float32, genes.
    """

    influence: np.ndarray
    intercept: np.ndarray

    def subset(self, genes: Sequence[int]) -> AffineMap:
        """Return the map among some of the genes, in the given order."""
        return AffineMap(np.ascontiguousarray(self.influence[np.ix_(genes, genes)]), self.intercept[list(genes)])


def weighted_sums(
    affine: AffineMap, presence: sparse.csr_matrix, device: torch.device, batch_size: int | None = None
) -> Iterator[tuple[int, np.ndarray, torch.Tensor]]:
    """Yield, cell by cell, its number, its present genes, and s = A z at those genes (on `device`).

    The products are made for blocks of cells at once; by default a block fits the memory budget of the settings.
    """
    transposed = torch.from_numpy(affine.influence).to(device).T
    step = batch_size or max(1, settings.memory_budget // (8 * presence.shape[1]))
    for start in range(0, presence.shape[0], step):
        stop = min(start + step, presence.shape[0])
        sums = dense_rows(presence, start, stop, device) @ transposed
        for cell in range(start, stop):
            genes = presence.indices[presence.indptr[cell] : presence.indptr[cell + 1]]
            yield cell, genes, sums[cell - start, torch.from_numpy(genes.astype(np.int64)).to(device)]


def normalise(raw: torch.Tensor) -> torch.Tensor:
    """Turn raw outputs into profiles along the first axis: the modulus, divided by its sum; 0 where that is 0."""
    output = raw.abs()
    return output / output.sum(0).clamp_min(torch.finfo(output.dtype).tiny)


@torch.inference_mode()
def predict(affine: AffineMap, presence: sparse.csr_matrix, device: torch.device) -> np.ndarray:
    """Return the predicted profiles at the present genes, in the order of ``presence.data`` (float32)."""
    intercept = torch.from_numpy(affine.intercept).to(device)
    values = np.zeros(presence.nnz, dtype=np.float32)
    for cell, genes, sums in weighted_sums(affine, presence, device):
        if len(genes):
            profile = normalise(sums / len(genes) + intercept[genes])
            values[presence.indptr[cell] : presence.indptr[cell + 1]] = profile.cpu().numpy()
    return values
