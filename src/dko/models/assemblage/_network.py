"""The network of the paper: from the genes that are present to their relative expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ._affine import AffineMap

if TYPE_CHECKING:
    import numpy as np


class AssemblageNetwork(nn.Module):
    """Two linear layers without an activation between them, a modulus, and the gate of the present genes.

    With z the assemblage (1 for a present gene, else 0) and y = z / sum(z), the raw output is
    o = |W2 (W1 y + b1) + b2| and the profile q = z*o / sum(z*o) (arXiv 2510.03359).

    Parameters
    ----------
    n_genes
        Width of both layers.
    """

    def __init__(self, n_genes: int):
        super().__init__()
        self.first = nn.Linear(n_genes, n_genes, dtype=torch.float32)
        self.second = nn.Linear(n_genes, n_genes, dtype=torch.float32)

    def forward(self, assemblage: torch.Tensor) -> torch.Tensor:
        """Return profiles (cells x genes) for assemblages (cells x genes) of at least one gene each."""
        share = assemblage / assemblage.sum(1, keepdim=True)
        gated = assemblage * self.second(self.first(share)).abs()
        return gated / gated.sum(1, keepdim=True)

    @torch.no_grad()
    def affine(self) -> AffineMap:
        """Multiply the two layers out: A = W2 W1 and b = W2 b1 + b2, composed in double precision."""
        first, second = self.first, self.second
        outer = second.weight.double()
        return AffineMap(
            influence=(outer @ first.weight.double()).float().numpy(),
            intercept=(outer @ first.bias.double() + second.bias).float().numpy(),
        )

    @torch.no_grad()
    def forget(self, genes: np.ndarray) -> None:
        """Start without what no cell will teach: `genes` have no influence, and an output of next to nothing.

        The random initial weights of a gene that no training cell expresses would never change. Not quite 0, so that
        a cell of such genes alone still has a profile.
        """
        self.first.weight[:, genes] = 0
        self.second.weight[genes] = 0
        self.second.bias[genes] = 1e-6

    @torch.no_grad()
    def start_from(self, affine: AffineMap) -> None:
        """Take over a fitted map: W1 = A, b1 = 0, W2 = 1, b2 = b give the same outputs as the layers it came from."""
        self.first.weight.copy_(torch.from_numpy(affine.influence))
        self.first.bias.zero_()
        self.second.weight.copy_(torch.eye(len(affine.intercept)))
        self.second.bias.copy_(torch.from_numpy(affine.intercept))
