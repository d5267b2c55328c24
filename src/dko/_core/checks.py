"""Whether what lies in ``uns`` or in a file is a whole model, asked before compiled code trusts shapes of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from reprlib import repr as short
from typing import Any, Protocol

import numpy as np

from ..models import REGISTRY, Frame, model_class
from ..models.base import require
from . import keys
from .messages import listed


class Sized(Protocol):
    """An array, or what the header of a file says of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype:
        """Type of its entries."""


def checked_frame(entry: Mapping[str, Any]) -> Frame:
    """Return what an entry says of a model beside its arrays; a ValueError says in part of a sentence what is wrong."""
    for name in (keys.PARAMS, keys.GENES, keys.GROUPS):
        require(name in entry, f"it lacks {name!r}")
    require(isinstance(entry[keys.PARAMS], Mapping), f"its {keys.PARAMS!r} are not a dictionary")
    params = plain(entry[keys.PARAMS])
    names = {name: _names(entry.get(name), name) for name in (keys.GENES, keys.GROUPS, keys.TARGETS)}
    frame = Frame(params, **names)
    require(bool(frame.genes), f"it has no {keys.GENES}")
    kind = params.setdefault("model", keys.DKO)
    require(kind in REGISTRY, f"params['model'] is {short(kind)}, which this version does not know")
    for name in ("values", "use_raw"):
        require(name in params, f"params lack {name!r}")
    for name, (is_right, what) in _PARAMS.items():
        require(
            name not in params or is_right(params[name]), f"params[{name!r}] is {short(params.get(name))}, not {what}"
        )
    by_group = "groupby" in params
    require(
        by_group == bool(frame.groups), f"it has {len(frame.groups)} groups and {'a' if by_group else 'no'} groupby"
    )
    model_class(kind).check_frame(frame)
    return frame


def check_shapes(frame: Frame, arrays: Mapping[str, Sized]) -> None:
    """Refuse arrays, or headers of arrays, of other names, shapes or types than this model has."""
    model = model_class(frame.params["model"])
    expected = model.shapes(frame, arrays)
    for name, shape in expected.items():
        require(name in arrays, f"its weights lack {name!r}")
        found = arrays[name]
        kinds, what = ("iu", "whole numbers") if name in model.whole else ("f", "numbers of single or double precision")
        require(
            found.dtype.kind in kinds and (found.dtype.itemsize in (4, 8) or name in model.half),
            f"{name!r} holds {found.dtype}, not {what}",
        )
        require(tuple(found.shape) == shape, f"{name!r} has the shape {tuple(found.shape)}, not {shape}")
    unknown = [name for name in arrays if name not in expected]
    require(not unknown, f"its weights hold {listed(unknown)}, which such a model does not have")


def checked_weights(frame: Frame, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a model as compiled code takes them: C-contiguous, native, most in single precision."""
    check_shapes(frame, arrays)
    model = model_class(frame.params["model"])
    # What may be in half precision stays so where it is.
    types: dict[str, Any] = dict.fromkeys(model.whole, np.int64)
    types |= {name: np.float16 for name in model.half if name in arrays and arrays[name].dtype.itemsize == 2}
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        weights = {
            name: np.ascontiguousarray(array, dtype=types.get(name, np.float32)) for name, array in arrays.items()
        }
    for name, array in weights.items():
        if name not in model.may_lack:
            require(_finite(array), f"{name!r} holds NaN or infinite values")
    model.check(frame, weights)
    return weights


def checked_cells(frame: Frame, entry: Any) -> dict[str, np.ndarray]:
    """Return which cells of a fit were in which of its groups; nothing where it is not known."""
    if isinstance(entry, Mapping) and not entry:
        return {}
    require(isinstance(entry, Mapping) and {keys.NAMES, keys.GROUP} <= set(entry), f"its {keys.CELLS!r} lack a part")
    names, groups = np.asarray(entry[keys.NAMES]), np.asarray(entry[keys.GROUP])
    right = names.dtype == np.uint64 and groups.dtype.kind == "i" and names.ndim == 1 and names.shape == groups.shape
    require(
        right and bool(((groups >= 0) & (groups < len(frame.groups))).all()),
        f"its {keys.CELLS!r} are not names and groups of cells",
    )
    return {keys.NAMES: names.astype(np.uint64), keys.GROUP: groups.astype(np.int32)}


def plain(value: Any) -> Any:
    """Return numpy scalars and arrays, as they come back from files, as Python has them; None is left out."""
    if isinstance(value, Mapping):
        return {str(name): plain(of) for name, of in value.items() if of is not None}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _names(given: Any, what: str) -> list[str]:
    """Return unique names; an empty list has come back from a file as an array of numbers."""
    if given is None:
        return []
    require(isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping), f"its {what} are not a list")
    names = list(given)
    wrong = [name for name in names if not isinstance(name, str)]
    require(not wrong, f"its {what} hold {short(wrong[0]) if wrong else ''}, which is not text")
    require(len(set(names)) == len(names), f"its {what} hold a name more than once")
    return [str(name) for name in names]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {listed(choices)}"


# What is read of the parameters after the fit; all others are only for the user to read.
_PARAMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "values": _one_of("counts", "linear", "log1p"),
    "effects": _one_of("direct", "total"),
    **dict.fromkeys(
        ("layer", "groupby", "perturbation_key", "control", "features"), (lambda value: isinstance(value, str), "text")
    ),
    **dict.fromkeys(
        ("rank", "n_members", "n_summed"),
        (lambda value: isinstance(value, int) and _number(value) and value > 0, "a whole number above 0"),
    ),
    **dict.fromkeys(("use_raw", "log1p", "observed"), (lambda value: isinstance(value, bool), "True or False")),
    "similarity": (_number, "a number"),
    "target_sum": (lambda value: _number(value) and value > 0, "a number above 0"),
    "scale": _one_of("certain", "doubtful", "said"),
    "log_base": (lambda value: _number(value) and 1 < value <= 1_000, "the base of a logarithm"),
    "config": (lambda value: isinstance(value, dict), "a dictionary"),
}


def _finite(array: np.ndarray) -> bool:
    # In pieces, without a mask as large as a quarter of the array; the extremes of half precision are slow.
    flat, step = array.reshape(-1), 2**20
    return all(bool(np.isfinite(flat[first : first + step]).all()) for first in range(0, flat.size, step))
