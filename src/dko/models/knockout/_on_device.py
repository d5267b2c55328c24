"""A map whose matrices are on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from ..._settings import settings
from ._deep import DeepMap, DeepOnDevice, Removal
from ._map import LowRankMap

if TYPE_CHECKING:
    from ._map import Map


class MapOnDevice:
    """An affine map on a device, as a whole if there is room, otherwise the part of it that is needed at the time."""

    def __init__(self, affine: Map, device: torch.device):
        self.link, self.divisor, self.n_genes, self.device = affine.link, affine.divisor, affine.n_genes, device
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

    def raw(self, sums: torch.Tensor, removal: Removal) -> torch.Tensor:
        """Return the output before the link, knockouts x present genes."""
        columns, column, genes = self.whole, removal.removed, removal.genes
        if columns is None:
            some, column = column.unique(return_inverse=True)
            columns = self._columns(some)
        left = sums[removal.cell, : genes.shape[1]]
        for one, fraction in zip(column.T, removal.share.T, strict=True):
            left.addcmul_(columns[one[:, None], genes], fraction[:, None], value=-1)
        return left.div_(self.divisor or removal.size[:, None]).add_(self.intercept[genes])

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


def on_device(affine: Map | DeepMap, device: torch.device) -> MapOnDevice | DeepOnDevice:
    return DeepOnDevice(affine, device) if isinstance(affine, DeepMap) else MapOnDevice(affine, device)


def widest(device: torch.device) -> torch.dtype:
    """Return double precision, which Apple's devices lack."""
    return torch.float32 if device.type == "mps" else torch.float64
