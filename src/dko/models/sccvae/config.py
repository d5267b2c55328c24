"""Options of an SCCVAE: what it is made of and trained with, the default and the published setting."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..._core.messages import listed
from ..fitting import Presets, Schedule, ScreenConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


CODES = ("neighbours", "softmax")


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
        How a target gene becomes a shift: ``"neighbours"``, a free vector per training target, others get the mean of
        these by the similarity of features; ``"softmax"`` (as published), a network from features to a direction in the
        simplex, times a strength per training target.
    code_hidden, dropout
        Widths of the hidden layers of that network, and their dropout.
    coexpression
        With ``"neighbours"``, for other targets: relative length of the direction of control cells that express less of
        the target; negative for activations.
    coupling
        Standard deviation of the initial entries of the graph, times the square root of `n_latent`.
    groups
        Perturbations in one step; the control is one of them.
    effect, pairs, reconstruction, kl, mmd, sparsity
        Weights of the terms of the loss: squared distance of the mean predicted change from the measured one; of each
        predicted cell from a random measured one (as published); reconstruction of control cells; divergence of the
        posterior from the prior (per latent dimension); maximum mean discrepancy; absolute entries of the graph.
    warm_up
        Share of the longest training over which the weight of the divergence rises from 0.
    bandwidths
        Squared bandwidths of the kernels of the discrepancy; None: multiples of the median squared distance of
        controls.
    decay, epsilon
        Weight decay of matrices, and epsilon of Adam.
    faster
        How many times faster the shifts or strengths of targets learn than the rest: each takes part in few steps.
    balance
        A perturbation is drawn in proportion to this power of its number of cells; at 0, all are equally often.
    """

    n_latent: int = 64
    hidden: tuple[int, ...] = (256, 256)
    code: str = "neighbours"
    code_hidden: tuple[int, ...] = (128,)
    dropout: float = 0.1
    coexpression: float = 0.5
    coupling: float = 0.5
    groups: int = 8
    effect: float = 300.0
    pairs: float = 0.0
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
        """Refuse what cannot be trained."""
        if self.code not in CODES:
            raise ValueError(f"code={self.code!r} must be one of {listed(CODES)}.")
        for name in ("n_latent", "groups"):
            if not _whole(size := getattr(self, name)):
                raise ValueError(f"{name}={size!r} must be a whole number, at least 1.")
        for name, fewest in (("hidden", 1), ("code_hidden", 0)):
            widths = getattr(self, name)
            listing = isinstance(widths, list | tuple) and len(widths) >= fewest
            if not listing or not all(_whole(width) for width in widths):
                raise ValueError(f"{name}={widths!r} must list the widths of layers, such as (256, 256).")
        for name in (field.name for field in fields(Config) if field.type == "float"):
            if not _number(value := getattr(self, name)):
                raise ValueError(f"{name}={value!r} must be a number.")
            if value < 0 and name != "coexpression":
                raise ValueError(f"{name}={value!r} must be at least 0.")
        widths = self.bandwidths
        above = isinstance(widths, list | tuple) and widths and all(_number(one) and one > 0 for one in widths)
        if not (widths is None or above):
            raise ValueError(f"bandwidths={widths!r} must list numbers above 0.")
        if not (self.dropout < 1 and self.warm_up <= 1 and self.epsilon > 0):
            raise ValueError("dropout=... must be below 1, warm_up=... at most 1, and epsilon=... above 0.")

    @property
    def plain(self) -> dict[str, Any]:
        """The fields that are set, in types that files know."""
        given = {field.name: getattr(self, field.name) for field in fields(Config)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def config_of(values: Mapping[str, Any]) -> Config:
    """Return the configuration that files keep as `values`, in which tuples have become lists."""
    if values.get("code") == "unit":
        raise ValueError("code='unit' is of version 0.1.0, and no longer read; fit again")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    known = {field.name for field in fields(Config)}
    return Config(**{name: value for name, value in given.items() if name in known})


@dataclass(frozen=True)
class ScCvaeConfig(Config, ScreenConfig):
    """Options of ``model="sccvae"``: those of its networks, of all models of a screen, and these.

    Attributes
    ----------
    features
        What is known of a gene that is perturbed: ``"influence"``, ``"pca"``, ``"onehot"``, or a DataFrame.
    n_components
        Of the first two.
    graph
        Which latent dimension may act on which: ``"full"``, ``"none"``, or a network between genes.
    n_members
        Models to fit, whose predicted changes are averaged.
    """

    # Those of its networks are kept by themselves.
    unkept: ClassVar[tuple[str, ...]] = (*ScreenConfig.unkept, *(field.name for field in fields(Config)))

    features: str | pd.DataFrame = "influence"
    n_components: int = 20
    graph: Any = "full"
    n_members: int = 3

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        ScreenConfig.__post_init__(self)
        for name in ("n_components", "n_members"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")

    def check(self, schedule: Schedule) -> None:
        """Refuse features that cannot be used, and steps with too few cells of each perturbation."""
        from .targets import check_features

        check_features(self.features)
        if schedule.batch_size < 2 * self.groups:
            raise ValueError(
                f"batch_size={schedule.batch_size} must be at least {2 * self.groups}: 2 cells of each of "
                f"{self.groups} groups."
            )

    def known(self, measured: Sequence[str]) -> set[str] | None:
        """Return the genes that have features; None: all."""
        if isinstance(self.features, str):
            return None if self.features == "onehot" else set(measured)
        return set(map(str, self.features.index))


PRESETS: Presets = {
    None: (
        ScCvaeConfig(),
        Schedule(batch_size=256, learning_rate=1e-3, max_steps=1_500, patience=10, reductions=1, clip=1.0),
    ),
    # The public code of the paper. Its batches are of one perturbation. What differs still: docs, sccvae.
    "paper": (
        ScCvaeConfig(
            preset="paper",
            n_latent=512,
            hidden=(1024, 1024),
            code="softmax",
            code_hidden=(1024, 1024),
            dropout=0.0,
            coexpression=0.0,
            coupling=0.1 * 512**0.5,
            groups=1,
            effect=0.0,
            pairs=1.0,
            kl=1.0,
            mmd=10.0,
            sparsity=0.0,
            warm_up=1.0,
            bandwidths=tuple(31.25 * 2.0**i for i in range(10)),
            decay=1e-6,
            epsilon=0.01,
            faster=1.0,
            balance=1.0,
            features="pca",
            n_components=50,
            n_members=1,
        ),
        Schedule(batch_size=32, learning_rate=5e-4, max_epochs=100, clip=1.0),
    ),
}
