"""A network that is not affine before its link: its knockouts share the product of the first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ._links import check_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch

# Names of functions in torch.nn.functional.
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "softplus")


@dataclass(frozen=True)
class DeepMap:
    """Outputs link(network(z / sum(z))) of a network of linear layers with an activation between them.

    Only the functions of `_torch.py` take it. Its matrix products are as precise as torch is set to make them.

    Attributes
    ----------
    layers
        Weight (outputs x inputs) and bias (outputs) of each layer, float32; genes in, genes out.
    activation
        ``"relu"``, ``"tanh"``, ``"sigmoid"``, ``"gelu"``, ``"silu"`` or ``"softplus"``.
    link
        As in :class:`AffineMap`.
    """

    layers: Sequence[tuple[np.ndarray, np.ndarray]]
    activation: str = "relu"
    link: str = "abs"

    def __post_init__(self) -> None:
        check_link(self.link)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"No activation {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
        n_inputs = self.n_genes
        for number, (weight, bias) in enumerate(self.layers):
            if weight.shape != (len(bias), n_inputs):
                expected = f"({len(bias)}, {n_inputs}), its bias and the layer before it say"
                raise ValueError(f"The weight of layer {number} has the shape {weight.shape}, not {expected}.")
            n_inputs = len(bias)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.layers[-1][1])


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


class DeepOnDevice:
    """A `DeepMap` whose weights are on a device; the methods are those that `_torch.py` asks of a model."""

    def __init__(self, deep: DeepMap, device: torch.device):
        import torch

        self.link, self.device = deep.link, device
        self.activation = getattr(torch.nn.functional, deep.activation)
        layers = [tuple(torch.from_numpy(array).to(device) for array in layer) for layer in deep.layers]
        (first, self.bias), *self.others = layers
        # What each gene adds to the first layer, genes x outputs.
        self.incoming = first.T.contiguous()
        widest = max(len(bias) for _, bias in deep.layers)
        self.bytes_per_cell = self.bytes_per_knockout = 16 * widest

    def sums(self, indices: torch.Tensor, starts: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return W1 z, cells x outputs of the first layer."""
        import torch

        return torch.nn.functional.embedding_bag(indices, self.incoming, starts, mode="sum")

    def raw(self, sums: torch.Tensor, removal: Removal) -> torch.Tensor:
        """Return the output before the link, knockouts x present genes."""
        hidden = sums[removal.cell]
        for gene, fraction in zip(removal.removed.T, removal.share.T, strict=True):
            hidden.addcmul_(self.incoming[gene], fraction[:, None], value=-1)
        hidden = hidden.div_(removal.size[:, None]).add_(self.bias)
        for weight, bias in self.others:
            hidden = self.activation(hidden) @ weight.T + bias
        return hidden.gather(1, removal.genes)
