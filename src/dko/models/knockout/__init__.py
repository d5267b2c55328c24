"""Exact knockouts without running a model once per knockout: docs/design.md, The exact fast knockout."""

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
