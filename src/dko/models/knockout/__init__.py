"""Exact knockouts of any model that is affine before its link, without running it once per knockout.

With s = A z and n = sum(z), the raw output at gene j is s_j / n + b_j, and without gene g (s_j - A_jg) / (n - 1) + b_j
for every other present j: one subtraction. A dose d subtracts d A_jg, divides by n - d and scales the output of g by
1 - d; a set of genes subtracts its columns together. Genes that are absent never enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ._deep import DeepMap
from ._effects import effect_sums
from ._find import find
from ._map import AffineMap, LowRankMap, Map, map_of
from ._pair_effects import pair_effects
from ._pair_null import pair_null
from ._predict import predict
from ._presence import presence_of
from ._scan import scan
from ._sets import knock_out

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


@dataclass(frozen=True)
class Engine:
    """The functions of this package on one device."""

    predict: Callable
    scan: Callable
    knock_out: Callable
    effect_sums: Callable


def engine(device: torch.device, *, affine: bool = True) -> Engine:
    """Return what knocks out on a device: compiled loops on a CPU, torch elsewhere and for a :class:`DeepMap`."""
    if device.type == "cpu" and affine:
        return Engine(predict, scan, knock_out, effect_sums)
    from . import _torch

    functions = (_torch.predict, _torch.scan, _torch.knock_out, _torch.effect_sums)
    return Engine(*(partial(function, device=device) for function in functions))


__all__ = [
    "AffineMap",
    "DeepMap",
    "Engine",
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
