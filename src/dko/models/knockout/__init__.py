"""Exact knockouts, without running a model once per knockout.

A map of factors changes cells as they were observed: without gene g, the share of every gene j is multiplied by
exp(-A_jg), and the shares are made to sum to 1 again.

Other maps predict profiles with and without a gene, affine before an absolute value. With s = A z and n = sum(z), the
raw output at gene j is s_j / n + b_j, and without gene g (s_j - A_jg) / (n - 1) + b_j for every other present j: one
subtraction. A dose d subtracts d A_jg, divides by n - d and scales the output of g by 1 - d; a set of genes subtracts
its columns together. Genes that are absent never enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .kernels import scan
from .maps import AffineMap, AnyMap, FactorMap, LowRankMap, Map, find, map_of, predict, presence_of
from .sets import effect_sums, knock_out, pair_effects, pair_null

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = [
    "AffineMap",
    "AnyMap",
    "Engine",
    "FactorMap",
    "LowRankMap",
    "Map",
    "effect_sums",
    "engine",
    "find",
    "knock_out",
    "map_of",
    "pair_effects",
    "pair_null",
    "predict",
    "presence_of",
    "scan",
]


@dataclass(frozen=True)
class Engine:
    """What knocks out on one device."""

    scan: Callable
    knock_out: Callable
    effect_sums: Callable
    predict: Callable = predict


def engine(device: torch.device) -> Engine:
    """Return what knocks out on a device: compiled loops on a CPU, torch elsewhere."""
    if device.type == "cpu":
        return Engine(scan, knock_out, effect_sums)
    return torch_engine(device)


def torch_engine(device: torch.device) -> Engine:
    """Return the same functions in torch, for any device."""
    from . import torch as twin

    return Engine(*(partial(function, device=device) for function in (twin.scan, twin.knock_out, twin.effect_sums)))
