"""What an SCCVAE is made of and trained with: the default, and the published setting."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES = ("neighbours", "unit", "softmax")
PAIRINGS = ("mean", "random")


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
    faster
        How many times faster the shifts or strengths of targets learn than the rest: each takes part in few steps.
    balance
        A perturbation is drawn with a chance in proportion to this power of its number of cells: at 1, one with many
        cells trains as much more often; at 0, all do equally often.
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
    faster: float = 10.0
    balance: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, or would be read as something else."""
        for name, choices in (("code", CODES), ("pairing", PAIRINGS)):
            if (chosen := getattr(self, name)) not in choices:
                raise ValueError(f"{name}={chosen!r} must be one of {listed(choices, len(choices))}.")
        for name, least in (("n_latent", 1), ("groups", 1), ("cells", 2)):
            if not _whole(size := getattr(self, name), least):
                raise ValueError(f"{name}={size!r} must be a whole number, at least {least}.")
        for name, fewest in (("hidden", 1), ("code_hidden", 0)):
            widths = getattr(self, name)
            listing = isinstance(widths, list | tuple) and len(widths) >= fewest
            if not listing or not all(_whole(width, 1) for width in widths):
                raise ValueError(f"{name}={widths!r} must list the widths of layers, such as (256, 256).")
        for name in _NUMBERS:
            if not _number(value := getattr(self, name)):
                raise ValueError(f"{name}={value!r} must be a number.")
            if value < 0 and name != "coexpression":
                raise ValueError(f"{name}={value!r} must be at least 0.")
        widths = self.bandwidths
        if not (
            widths is None or (isinstance(widths, list | tuple) and widths and all(_positive(one) for one in widths))
        ):
            raise ValueError(f"bandwidths={self.bandwidths!r} must list numbers above 0.")
        if not (self.dropout < 1 and self.warm_up <= 1 and self.epsilon > 0):
            raise ValueError("dropout=... must be below 1, warm_up=... at most 1, and epsilon=... above 0.")


_NUMBERS = (
    *("dropout", "coexpression", "coupling", "effect", "reconstruction", "kl", "mmd", "sparsity", "warm_up"),
    *("decay", "epsilon", "faster", "balance"),
)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def config_of(values: Mapping[str, Any]) -> Config:
    """Return the configuration that files keep as `values`, in which tuples have become lists."""
    known = {field.name for field in fields(Config)}
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Config(**{name: value for name, value in given.items() if name in known})


# The public code of the paper. Its batches are of one perturbation. What differs still: docs, sccvae.
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
    faster=1.0,
    balance=1.0,
)
