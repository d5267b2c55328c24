"""One set of functions for every kind of map, on one device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _factor_scan, _factor_sets, _scan, _sets
from ._effects import effect_sums
from ._factors import FactorMap
from ._predict import predict

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from ._map import AnyMap


def scan(affine: AnyMap, *args: Any, **kwargs: Any) -> np.ndarray:
    """Return the impact of each present gene in each cell; see the functions for each kind of map."""
    return (_factor_scan if isinstance(affine, FactorMap) else _scan).scan(affine, *args, **kwargs)


def knock_out(affine: AnyMap, *args: Any, **kwargs: Any) -> np.ndarray:
    """Return the impact of each knockout of any genes together; see the functions for each kind of map."""
    return (_factor_sets if isinstance(affine, FactorMap) else _sets).knock_out(affine, *args, **kwargs)


@dataclass(frozen=True)
class Engine:
    """The functions of this package on one device."""

    predict: Callable
    scan: Callable
    knock_out: Callable
    effect_sums: Callable


def engine(device: torch.device) -> Engine:
    """Return what knocks out on a device: compiled loops on a CPU, torch elsewhere."""
    if device.type == "cpu":
        return Engine(predict, scan, knock_out, effect_sums)
    from . import _torch

    functions = (_torch.predict, _torch.scan, _torch.knock_out, _torch.effect_sums)
    return Engine(*(partial(function, device=device) for function in functions))
