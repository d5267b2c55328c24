"""The network of the paper, from the genes that are present to their relative expression, and its fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from ..._rng import torch_seed
from .._devices import fabric_on
from .._training import loader, share_of, train
from ..knockout import AffineMap
from ..rows import blocks_of
from .config import MANY

if TYPE_CHECKING:
    from .._training import Trained
    from ..fitting import Schedule
    from ..rows import Rows
    from .config import DkoConfig

# A gene that no training cell expresses starts with so little output: not 0, so that a cell of such genes alone still
# has a profile.
_UNSEEN = 1e-6
# Standard deviation of the first weights, and the product of gain and width at inputs of unit length. Together with the
# step size they decide how fast a fit moves; the gain makes that independent of the width.
_FIRST_WEIGHTS = 0.1
_GAIN = 100.0
# Bytes of what is made of an entry of a cell.
_PER_ENTRY = 64


class AssemblageNetwork(nn.Module):
    """Two linear layers without an activation between them, a modulus, and the gate of the present genes.

    With y = z / sum(z) the raw output is o = scale * |W2 (W1 (gain * y - offset) + b1) + b2| and the profile q = z*o /
    sum(z*o): arXiv 2510.03359 where scale and gain are 1 and offset is 0. These are not trained: they change how fast
    it learns.
    """

    gain: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_genes: int, width: int):
        super().__init__()
        self.first = nn.Linear(n_genes, width, dtype=torch.float32)
        self.second = nn.Linear(width, n_genes, dtype=torch.float32)
        self.register_buffer("gain", torch.ones((), dtype=torch.float32))
        self.register_buffer("offset", torch.zeros(n_genes, dtype=torch.float32))
        self.register_buffer("scale", torch.ones(n_genes, dtype=torch.float32))

    def forward(self, profiles: torch.Tensor) -> torch.Tensor:
        """Return the Bray-Curtis dissimilarity of predicted and observed profile, per cell (cells,)."""
        return (self.predict(profiles.sign()) - profiles).abs().sum(-1) / 2

    def predict(self, assemblage: torch.Tensor) -> torch.Tensor:
        """Return profiles (cells x genes) for assemblages (cells x genes) of at least one gene each."""
        inputs = (assemblage * (self.gain / assemblage.sum(1, keepdim=True))).sub_(self.offset)
        gated = assemblage * self.scale * self.second(self.first(inputs)).abs()
        return gated / gated.sum(1, keepdim=True)

    @torch.no_grad()
    def affine(self, *, whole: bool = True) -> AffineMap:
        """Multiply the two layers out, in double precision: o = |A y + b| without scale, gain and offset.

        A is left as the product of the two unless the `whole` is wanted.
        """
        first, second, scale = self.first, self.second, self.scale.double()
        hidden = first.bias.double() - first.weight.double() @ self.offset.double()
        outer = scale[:, None] * second.weight.double()
        intercept = (outer @ hidden + scale * second.bias.double()).float().numpy()
        outgoing, incoming = outer * self.gain.double(), first.weight.double()
        if whole:
            return AffineMap((outgoing @ incoming).float().numpy(), intercept)
        return AffineMap(incoming.float().numpy(), intercept, outgoing.float().numpy())

    @torch.no_grad()
    def start_from_mean(self, inputs: Inputs) -> None:
        """Start where no gene influences another: each is in proportion to its mean where it is present."""
        seen = inputs.seen
        self._standardise(inputs, np.where(seen > 0, inputs.sums / np.maximum(seen, 1), _UNSEEN))
        nn.init.normal_(self.first.weight, std=_FIRST_WEIGHTS)
        self.first.weight[:, seen == 0] = 0
        self.first.bias.zero_()
        self.second.weight.zero_()
        self.second.bias.fill_(1)

    @torch.no_grad()
    def start_from(self, fitted: AffineMap, inputs: Inputs) -> None:
        """Take over a fitted map: W1 = A and W2 = 1, but for their size, or the two factors."""
        incoming, outgoing = fitted.influence, fitted.outgoing
        typical = fitted.product(inputs.centre) + fitted.intercept
        # Not so little that the inverse were out of all proportion.
        scale = np.maximum(np.abs(typical), 0.01 * np.abs(typical).mean() + np.finfo(np.float32).tiny)
        self._standardise(inputs, scale)
        if outgoing is None:
            outgoing, incoming = np.eye(len(scale), dtype=np.float32), incoming / scale[:, None]
        else:
            outgoing = outgoing / scale[:, None]
        # Between two layers, size is free; this is where training from the mean has it.
        size = float(np.sqrt(np.square(incoming).mean())) / _FIRST_WEIGHTS or 1.0
        self.first.weight.copy_(torch.from_numpy(incoming / size))
        self.first.bias.zero_()
        self.second.weight.copy_(torch.from_numpy(outgoing * (size / self.gain.item())))
        self.second.bias.copy_(torch.from_numpy(typical / scale))

    def _standardise(self, inputs: Inputs, scale: np.ndarray) -> None:
        """Centre the inputs, make them of the same size whatever the data, and set the scale of the outputs."""
        centre, length = inputs.centre, inputs.length
        # Cells that hardly differ must not be blown up.
        spread = max(length - centre @ centre, 0.01 * length)
        self.gain.fill_(_GAIN / (self.first.out_features * spread**0.5))
        self.offset.copy_(torch.from_numpy(centre) * self.gain)
        self.scale.copy_(torch.from_numpy(scale))

    @torch.no_grad()
    def forget(self, genes: np.ndarray) -> None:
        """Start without what no cell will teach: `genes` have no influence, and an output of next to nothing."""
        self.first.weight[:, genes] = 0
        self.second.weight[genes] = 0
        self.second.bias[genes] = _UNSEEN


class Inputs(NamedTuple):
    """What training cells, whose assemblages y have an even share 1 / n of each of their n genes, are on average."""

    seen: np.ndarray  # cells that have each gene (genes,)
    sums: np.ndarray  # of the shares of each gene, over those of y (genes,)
    centre: np.ndarray  # mean of y (genes,)
    length: float  # mean of the squared length of y, 1 / n


def inputs_of(profiles: Rows) -> Inputs:
    """Average the cells, block by block."""
    sums, lengths = np.zeros((3, profiles.shape[1])), 0.0
    for _, block in blocks_of(profiles, _PER_ENTRY):
        present = np.diff(block.indptr)
        of_entry = np.repeat(present, present)
        summed = (np.ones(block.nnz), block.data * of_entry, 1 / of_entry)
        sums += [np.bincount(block.indices, one, profiles.shape[1]) for one in summed]
        lengths += (1 / present).sum()
    seen, ratios, centre = sums
    return Inputs(seen, ratios, centre / profiles.shape[0], lengths / profiles.shape[0])


def fit(
    training: Rows,
    validation: Rows,
    config: DkoConfig,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    init: AffineMap | None = None,
    width: int = 512,
    label: str = "fit",
) -> tuple[AffineMap, Trained]:
    """Fit relative profiles (cells x genes, float32, no cell empty) from the genes that are above 0 in them.

    A map of a given rank, or of very many genes, stays a product of two thin matrices; a full one has at most `width`
    hidden units: as many as genes where they are fewer, as some data need them all. Of 2,000 genes in real cells, 256
    take half the time of 512 for a validation loss that is 0.1 to 0.3 % higher, 128 cost up to 2 % of it. Training
    starts from the mean profile, from `init`, a fitted map on the same genes, or, as published, from random weights.
    """
    n_genes, rank, inputs = training.shape[1], config.rank, inputs_of(training)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(rng))
        if init is not None:
            width = n_genes if init.outgoing is None else len(init.influence)
        network = AssemblageNetwork(n_genes, rank or (n_genes if config.published else min(n_genes, width)))
        if init is not None:
            network.start_from(init, inputs)
        elif config.published:
            network.forget(np.flatnonzero(inputs.seen == 0))
        else:
            network.start_from_mean(inputs)
    fabric = fabric_on(device, schedule)
    network = network.to(fabric.device)
    trained = train(
        network,
        torch.optim.Adam(
            network.parameters(), lr=schedule.learning_rate, fused=True if device.type in {"cpu", "cuda"} else None
        ),
        loader(training, schedule.batch_size, fabric.device, share_of(fabric)),
        loader(validation, schedule.batch_size * 8, fabric.device, share_of(fabric)),
        training.shape[0],
        schedule,
        fabric=fabric,
        rng=rng,
        label=label,
    )
    return network.affine(whole=rank is None and n_genes <= MANY), trained
