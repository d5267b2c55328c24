"""Values that no parameter of this type can have, whatever the function: text for a number, NaN, half a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from ._errors import shown
from ._groups import COMBINE
from ._keys import require_key
from ._rng import require_rng

_LARGEST = 2**31
# Parameters that are never 0, whatever the function.
_POSITIVE = {"ncols"}
_Test = Callable[[Any], bool]


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_number(value: Any) -> bool:
    return _is_real(value) and math.isfinite(value)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not _is_bool(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, bytes)


def _is_list_of(fits: _Test, value: Any) -> bool:
    return _is_list(value) and not isinstance(value, str | Mapping) and all(map(fits, value))


# By the annotation of a parameter.
_KINDS: dict[str, tuple[str, _Test]] = {
    "int": ("a whole number", lambda value: isinstance(value, Integral) and not _is_bool(value)),
    "float": ("a number", _is_number),
    "bool": ("True or False", _is_bool),
    "str": ("a string", lambda value: isinstance(value, str)),
    "Path": ("a path", lambda value: isinstance(value, PathLike)),
    "None": ("None", lambda value: value is None),
    "Sequence[str]": ("a list of names", lambda value: _is_list(value) and not isinstance(value, Mapping)),
    "Sequence[tuple[str, str]]": ("a list of pairs of names", lambda value: _is_list_of(_is_list, value)),
    "Sequence[float]": ("a list of numbers", lambda value: _is_list_of(_is_real, value)),
    "Mapping[str, str]": ("a dictionary", lambda value: isinstance(value, Mapping)),
    "Axes": ("axes of matplotlib", lambda value: hasattr(value, "figure")),
    "pd.Series": ("a Series", lambda value: isinstance(value, pd.Series)),
}


def check_values(given: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
    """Refuse values that are not what the annotations of parameters say, where these say no more than a few words.

    Raises
    ------
    TypeError
        A value of another kind.
    ValueError
        A number that is not finite, or not whole.
    """
    for name, value in given.items():
        annotation = annotations.get(name, "Any")
        if annotation == "RNG":
            require_rng(value)
        if name == "key_added" and isinstance(value, str):
            require_key(value, name)
        kinds = [_KINDS.get(kind) for kind in annotation.split(" | ")]
        if None in kinds or any(fits(value) for _, fits in filter(None, kinds)):
            if isinstance(value, Integral) and annotation != "RNG" and abs(int(value)) > _LARGEST:
                raise ValueError(f"{name}={value} is too large; choose at most {_LARGEST:,}.")
            if name in _POSITIVE and value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1.")
            continue
        words = " or ".join(word for word, _ in filter(None, kinds)) + (COMBINE if name == "groupby" else "")
        wrong = ValueError if _is_real(value) else TypeError
        raise wrong(f"{name}={shown(value)} must be {words}.")
