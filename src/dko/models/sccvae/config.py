"""Options of an SCCVAE: what it is made of and trained with, the default and the published setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from ..fitting import Presets, Schedule, ScreenConfig


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def _list_of(fits: Callable[[Any], bool], value: Any, fewest: int = 1) -> bool:
    return isinstance(value, list | tuple) and len(value) >= fewest and all(map(fits, value))


_WIDTHS = "must list the widths of layers, such as (256, 256)"
# What options have to be, by name or else by type; files are held to it, too.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("must be a whole number, at least 1", _whole),
    "float": ("must be a number, at least 0", lambda value: _number(value) and value >= 0),
    "coexpression": ("must be a number", _number),
    "dropout": ("must be at least 0 and below 1", lambda value: _number(value) and 0 <= value < 1),
    "warm_up": ("must be from 0 to 1", lambda value: _number(value) and 0 <= value <= 1),
    "epsilon": ("must be above 0", lambda value: _number(value) and value > 0),
    "code": ("must be one of 'neighbours', 'softmax'", lambda value: value in ("neighbours", "softmax")),
    "hidden": (_WIDTHS, lambda value: _list_of(_whole, value)),
    "code_hidden": (_WIDTHS, lambda value: _list_of(_whole, value, fewest=0)),
    "bandwidths": (
        "must list numbers above 0",
        lambda value: value is None or _list_of(lambda one: _number(one) and one > 0, value),
    ),
}


@dataclass(frozen=True)
class Config(ScreenConfig):
    """Options of ``model="sccvae"``: those of all models of a screen, and these.

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
    features
        What is known of a gene that is perturbed: ``"influence"``, ``"pca"``, ``"onehot"``, or a DataFrame.
    n_components
        Of the first two.
    graph
        Which latent dimension may act on which: ``"full"``, ``"none"``, or a network between genes.
    n_members
        Models to fit, whose predicted changes are averaged.
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
    features: str | pd.DataFrame = "influence"
    n_components: int = 20
    graph: Any = "full"
    n_members: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in fields(self):
            words, fits = _RULES.get(one.name) or _RULES.get(str(one.type)) or ("", lambda value: True)
            if not fits(value := getattr(self, one.name)):
                raise ValueError(f"{one.name}={value!r} {words}.")

    @property
    def plain(self) -> dict[str, Any]:
        """What the networks are made of and trained with, of the options that are set, in types that files know."""
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _OF_FIT}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return {name: value for name, value in lists.items() if value is not None}

    @property
    def params(self) -> dict[str, Any]:
        """Those that say something else, as they are kept with a fit."""
        return {name: value for name, value in super().params.items() if name in _OF_FIT}

    def check(self, schedule: Schedule) -> None:
        """Refuse features that cannot be used, and steps with too few cells of each perturbation."""
        from .targets import check_features

        check_features(self.features)
        if schedule.batch_size < 2 * self.groups:
            raise ValueError(
                f"batch_size={schedule.batch_size} must be at least {2 * self.groups}: 2 cells of each of "
                f"{self.groups} groups."
            )
        if schedule.n_processes > self.groups:
            raise ValueError(
                f"devices={schedule.devices} (on num_nodes={schedule.num_nodes}) share the groups={self.groups} of "
                "cells of a step; choose fewer devices, or more groups."
            )

    def known(self, measured: Sequence[str]) -> set[str] | None:
        """Return the genes that have features; None: all."""
        if isinstance(self.features, str):
            return None if self.features == "onehot" else set(measured)
        return set(map(str, self.features.index))


# Options that say nothing of the networks.
_OF_FIT = {*(one.name for one in fields(ScreenConfig)), "features", "n_components", "graph", "n_members"}


def config_of(values: Mapping[str, Any]) -> Config:
    """Return the configuration that files keep as `values`, in which tuples have become lists."""
    if values.get("code") == "unit":
        raise ValueError("code='unit' is of version 0.1.0, and no longer read; fit again")
    known = {one.name for one in fields(Config)} - _OF_FIT
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Config(**{name: value for name, value in given.items() if name in known})


PRESETS: Presets = {
    None: (
        Config(),
        Schedule(batch_size=256, learning_rate=1e-3, max_steps=1_500, patience=10, reductions=1, clip=1.0),
    ),
    # The public code of the paper. Its batches are of one perturbation. What differs still: docs, sccvae.
    "paper": (
        Config(
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
