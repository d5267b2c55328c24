"""Maps whose matrices are on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from ..._settings import settings
from ._factors import BOUND, FactorMap
from ._map import LowRankMap

if TYPE_CHECKING:
    from ._map import AnyMap, Map


class Removal(NamedTuple):
    """What some knockouts take from their cells.

    Attributes
    ----------
    cell
        Index of the cell of each knockout.
    genes
        Its present genes, knockouts x most present genes.
    size
        How many of them are left.
    removed, share
        Genes to remove, and which fraction of each, knockouts x genes.
    """

    cell: torch.Tensor
    genes: torch.Tensor
    size: torch.Tensor
    removed: torch.Tensor
    share: torch.Tensor


class MapOnDevice:
    """An affine map on a device, as a whole if there is room, otherwise the part of it that is needed at the time."""

    observed = False

    def __init__(self, affine: Map, device: torch.device):
        self.n_genes, self.device = affine.n_genes, device
        self.intercept = torch.tensor(affine.intercept).to(device)
        room = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else settings.memory_budget
        fits = 4 * self.n_genes**2 <= room
        self.whole: torch.Tensor | None = None
        self.right: torch.Tensor | None = None
        if isinstance(affine, LowRankMap):
            # Products in double precision: no setting of torch makes them coarser, and there are few.
            self.left = torch.tensor(affine.outgoing).to(device, widest(device))
            self.right = torch.tensor(affine.incoming).to(device, widest(device))
        else:
            influence = torch.from_numpy(np.require(affine.influence, requirements="W"))
            self.left = influence.to(device) if fits else influence
        if fits:
            self.whole = self._columns(slice(None)).contiguous()
            del self.left, self.right
        self.bytes_per_cell = 8 * self.n_genes
        self.bytes_per_knockout = 0 if fits else 8 * self.n_genes

    def sums(self, indices: torch.Tensor, starts: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return A z at the present genes."""
        if self.whole is not None:
            return embedding_bag(indices, self.whole, starts, mode="sum").gather(1, genes)
        step = max(1, settings.memory_budget // (16 * self.n_genes))
        rows = (self._rows(slice(first, first + step)) for first in range(0, self.n_genes, step))
        parts = [embedding_bag(indices, some.T.contiguous(), starts, mode="sum") for some in rows]
        return torch.cat(parts, dim=1).gather(1, genes)

    def outputs(self, sums: torch.Tensor, removal: Removal) -> torch.Tensor:
        """Return the outputs, knockouts x present genes."""
        columns, column, genes = self.whole, removal.removed, removal.genes
        if columns is None:
            some, column = column.unique(return_inverse=True)
            columns = self._columns(some)
        left = sums[removal.cell, : genes.shape[1]]
        for one, fraction in zip(column.T, removal.share.T, strict=True):
            left.addcmul_(columns[one[:, None], genes], fraction[:, None], value=-1)
        return left.div_(removal.size[:, None]).add_(self.intercept[genes]).abs_()

    def _rows(self, genes: slice) -> torch.Tensor:
        """Return what every gene adds to each of `genes`, genes x all genes."""
        if self.right is None:
            return self.left[genes].to(self.device)
        return (self.left[genes] @ self.right).float()

    def _columns(self, genes: torch.Tensor | slice) -> torch.Tensor:
        """Return what each of `genes` adds to every gene, genes x all genes."""
        if self.right is None:
            return self.left.T[genes if isinstance(genes, slice) else genes.to(self.left.device)].to(self.device)
        return (self.right.T[genes] @ self.left.T).float()


class FactorsOnDevice:
    """Logs of the factors of knockouts; the influence as a whole if there is room, otherwise what is needed of it."""

    observed = True

    def __init__(self, factors: FactorMap, device: torch.device):
        self.factors, self.device = factors, device
        size = 4 * factors.n_genes**2
        room = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else settings.memory_budget
        self.whole = self._columns(np.arange(factors.n_genes)) if size <= room else None
        self.bytes_per_cell = 0
        self.bytes_per_knockout = 0 if size <= room else 8 * factors.n_genes

    def sums(self, indices: torch.Tensor, starts: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return zeros at the present genes: the factors do not depend on which genes these are."""
        return torch.zeros(genes.shape, device=self.device)

    def outputs(self, sums: torch.Tensor, removal: Removal) -> torch.Tensor:
        """Return the factor of every present gene, knockouts x present genes; 1 for a gene that is lost."""
        found = sums[removal.cell, : removal.genes.shape[1]]
        if not removal.removed.shape[1]:
            return found.exp_()
        lost = removal.share > 0
        sets = removal.removed.where(lost, -1).cpu().numpy()
        weights = torch.from_numpy(self.factors.weights(sets)).to(self.device, found.dtype)
        columns, column = self.whole, removal.removed
        if columns is None:
            some, column = column.unique(return_inverse=True)
            columns = self._columns(some.cpu().numpy())
        for one, gone, weight in zip(column.T, lost.T, weights.T, strict=True):
            found.addcmul_(columns[one[:, None], removal.genes], (weight * gone)[:, None], value=-1)
        found = found.clamp_(-BOUND, BOUND) * removal.share.amax(1, keepdim=True)
        for gene, gone in zip(removal.removed.T, lost.T, strict=True):
            found.masked_fill_((removal.genes == gene[:, None]) & gone[:, None], 0)
        return found.exp_()

    def _columns(self, genes: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.factors.columns(genes))).to(self.device)


def on_device(affine: AnyMap, device: torch.device) -> MapOnDevice | FactorsOnDevice:
    """Return a map on a device."""
    return FactorsOnDevice(affine, device) if isinstance(affine, FactorMap) else MapOnDevice(affine, device)


def widest(device: torch.device) -> torch.dtype:
    """Return double precision, which Apple's devices lack."""
    return torch.float32 if device.type == "mps" else torch.float64
