"""What an SCCVAE is made of and trained with: the default, and the published setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Sizes and weights of an SCCVAE.

    Attributes
    ----------
    n_latent
        Latent dimensions.
    hidden
        Widths of the hidden layers of the encoder, and of the decoder.
    code
        How a target gene becomes a shift. ``"neighbours"``: one free vector per training target; a target that was not
        trained on gets the mean of these, weighted by the similarity of features. ``"unit"`` and ``"softmax"`` (as
        published): a network from features to a direction, of length 1 or in the simplex, times a strength per target.
    code_hidden
        Widths of the hidden layers of that network.
    dropout
        Of its hidden layers.
    coexpression
        With ``"neighbours"``, for targets that were not trained on: length of the direction in which the control cells
        go that express less of the target, relative to the rest of the shift; negative for activations.
    coupling
        Standard deviation of the initial entries of the graph, times the square root of `n_latent`.
    groups, cells
        Perturbations (the control is one of them) and cells of each in one step.
    pairing
        What predicted cells are held against: ``"mean"``, their mean change against the measured one, or ``"random"``
        (as published), each against one measured cell.
    effect, reconstruction, kl, mmd, sparsity
        Weights of the distance from the measured change of the mean, of the reconstruction of control cells, of the
        divergence of the posterior from the prior (per latent dimension), of the maximum mean discrepancy, and of the
        absolute entries of the graph.
    warm_up
        Share of the longest training over which the weight of the divergence rises from 0.
    bandwidths
        Squared bandwidths of the kernels of the discrepancy; None takes multiples of the median squared distance of
        control cells.
    decay
        Weight decay of matrices.
    epsilon
        Of Adam.
    """

    n_latent: int = 64
    hidden: tuple[int, ...] = (256, 256)
    code: str = "neighbours"
    code_hidden: tuple[int, ...] = (128,)
    dropout: float = 0.1
    coexpression: float = 0.5
    coupling: float = 0.5
    groups: int = 8
    cells: int = 32
    pairing: str = "mean"
    effect: float = 300.0
    reconstruction: float = 0.25
    kl: float = 0.05
    mmd: float = 1.0
    sparsity: float = 1e-4
    warm_up: float = 0.3
    bandwidths: tuple[float, ...] | None = None
    decay: float = 1e-4
    epsilon: float = 1e-8


CODES = ("neighbours", "unit", "softmax")
PAIRINGS = ("mean", "random")

# The public code of the paper. Its batches are of one perturbation.
PAPER = Config(
    n_latent=512,
    hidden=(1024, 1024),
    code="softmax",
    code_hidden=(1024, 1024),
    dropout=0.0,
    coexpression=0.0,
    coupling=0.1 * 512**0.5,
    groups=1,
    cells=32,
    pairing="random",
    kl=1.0,
    mmd=10.0,
    sparsity=0.0,
    warm_up=1.0,
    bandwidths=tuple(31.25 * 2.0**i for i in range(10)),
    decay=1e-6,
    epsilon=0.01,
)
