"""Whether what lies in ``uns`` or in a file is a whole model: names, parameters, and arrays that belong together.

Every model is read through here before compiled code sees an array of it, because such code trusts the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from reprlib import repr as short
from typing import Any, NamedTuple, Protocol

import numpy as np

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


class Frame(NamedTuple):
    """A model without its arrays.

    Attributes
    ----------
    params
        In plain types.
    genes, groups, targets
        Unique names.
    """

    params: dict[str, Any]
    genes: list[str]
    groups: list[str]
    targets: list[str]

    @property
    def n_models(self) -> int:
        """Number of models, one for each group."""
        return max(1, len(self.groups))


def checked_frame(entry: Mapping[str, Any]) -> Frame:
    """Return what an entry says of a model beside its arrays; a ValueError says in part of a sentence what is wrong."""
    for name in (keys.PARAMS, keys.GENES, keys.GROUPS):
        _require(name in entry, f"it lacks {name!r}")
    _require(isinstance(entry[keys.PARAMS], Mapping), f"its {keys.PARAMS!r} are not a dictionary")
    params = plain(entry[keys.PARAMS])
    names = {name: _names(entry.get(name), name) for name in (keys.GENES, keys.GROUPS, keys.TARGETS)}
    frame = Frame(params, **names)
    _require(bool(frame.genes), f"it has no {keys.GENES}")
    kind = params.setdefault("model", keys.DKO)
    _require(kind in _REQUIRED, f"params['model'] is {short(kind)}, which this version does not know")
    for name in _REQUIRED[kind]:
        _require(name in params, f"params lack {name!r}")
    for name, (is_right, what) in _PARAMS.items():
        _require(
            name not in params or is_right(params[name]), f"params[{name!r}] is {short(params.get(name))}, not {what}"
        )
    _check_together(frame)
    return frame


def check_shapes(frame: Frame, arrays: Mapping[str, Sized]) -> None:
    """Refuse arrays, or headers of arrays, of other names, shapes or types than this model has."""
    expected = (_sizes_of_assemblages if frame.params["model"] == keys.DKO else _sizes_of_sccvae)(frame, arrays)
    for name, shape in expected.items():
        _require(name in arrays, f"its weights lack {name!r}")
        found = arrays[name]
        kinds, what = ("iu", "whole numbers") if name in _WHOLE else ("f", "numbers of single or double precision")
        _require(
            found.dtype.kind in kinds and (found.dtype.itemsize in (4, 8) or name in _HALF),
            f"{name!r} holds {found.dtype}, not {what}",
        )
        _require(tuple(found.shape) == shape, f"{name!r} has the shape {tuple(found.shape)}, not {shape}")
    unknown = [name for name in arrays if name not in expected]
    _require(not unknown, f"its weights hold {listed(unknown)}, which such a model does not have")


def checked_weights(frame: Frame, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a model as compiled code takes them: C-contiguous, native, most in single precision."""
    check_shapes(frame, arrays)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        weights = {
            name: np.ascontiguousarray(array, dtype=_TYPES.get(name, np.float32)) for name, array in arrays.items()
        }
    for name, array in weights.items():
        if name not in _MAY_LACK:
            _require(_finite(array), f"{name!r} holds NaN or infinite values")
    (_check_assemblages if frame.params["model"] == keys.DKO else _check_sccvae)(frame, weights)
    return weights


def checked_cells(frame: Frame, entry: Any) -> dict[str, np.ndarray]:
    """Return which cells of a fit were in which of its groups; nothing where it is not known."""
    if isinstance(entry, Mapping) and not entry:
        return {}
    _require(isinstance(entry, Mapping) and {keys.NAMES, keys.GROUP} <= set(entry), f"its {keys.CELLS!r} lack a part")
    names, groups = np.asarray(entry[keys.NAMES]), np.asarray(entry[keys.GROUP])
    right = names.dtype == np.uint64 and groups.dtype.kind == "i" and names.ndim == 1 and names.shape == groups.shape
    _require(
        right and bool(((groups >= 0) & (groups < len(frame.groups))).all()),
        f"its {keys.CELLS!r} are not names and groups of cells",
    )
    return {keys.NAMES: names.astype(np.uint64), keys.GROUP: groups.astype(np.int32)}


def plain(value: Any) -> Any:
    """Return numpy scalars and arrays, as they come back from files, as Python has them; None is left out."""
    if isinstance(value, Mapping):
        return {str(name): plain(of) for name, of in value.items() if of is not None}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _require(condition: bool, wrong: str) -> None:
    if not condition:
        raise ValueError(wrong)


def _names(given: Any, what: str) -> list[str]:
    """Return unique names; an empty list has come back from a file as an array of numbers."""
    if given is None:
        return []
    _require(isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping), f"its {what} are not a list")
    names = list(given)
    wrong = [name for name in names if not isinstance(name, str)]
    _require(not wrong, f"its {what} hold {short(wrong[0]) if wrong else ''}, which is not text")
    _require(len(set(names)) == len(names), f"its {what} hold a name more than once")
    return [str(name) for name in names]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {listed(choices)}"


# What is read of the parameters after the fit; all others are only for the user to read.
_PARAMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "values": _one_of("counts", "linear", "log1p"),
    "effects": _one_of("direct", "total"),
    **dict.fromkeys(("layer", "groupby", "perturbation_key", "control", "features", "scale"), (_is_text, "text")),
    **dict.fromkeys(("rank", "n_members", "n_summed"), (_is_count, "a whole number above 0")),
    **dict.fromkeys(("use_raw", "log1p", "observed"), (_is_flag, "True or False")),
    "similarity": (_number, "a number"),
    "target_sum": (_is_positive, "a number above 0"),
    "scale": _one_of("certain", "doubtful", "said"),
    "log_base": (lambda value: _number(value) and 1 < value <= 1_000, "the base of a logarithm"),
    "config": (lambda value: isinstance(value, dict), "a dictionary"),
}
_REQUIRED = {
    keys.DKO: ("values", "use_raw"),
    keys.SCCVAE: ("values", "use_raw", "perturbation_key", "control", "features", "config"),
}


def _check_together(frame: Frame) -> None:
    """Refuse parameters and names that contradict each other."""
    params = frame.params
    by_group = "groupby" in params
    _require(
        by_group == bool(frame.groups), f"it has {len(frame.groups)} groups and {'a' if by_group else 'no'} groupby"
    )
    if params["model"] == keys.DKO:
        _require(params["values"] != "log1p" or "log_base" in params, "params lack 'log_base'")
        _require(not frame.targets, "it has targets, which only models of perturbations have")
    else:
        _require(params["values"] != "counts" or "target_sum" in params, "params lack 'target_sum'")
        _require(bool(frame.targets), f"it lacks {keys.TARGETS!r}")


# Arrays of numbers that count, of numbers in half precision, and those in which NaN says that something is not known.
_WHOLE, _HALF = ("node", "trained", keys.NULL_GENES), (keys.TOTAL_CORRELATION, keys.NULL_CHANGES)
_TYPES = {**dict.fromkeys(_WHOLE, np.int64), **dict.fromkeys(_HALF, np.float16)}
_MAY_LACK = (keys.VARIATION, "own")


def _finite(array: np.ndarray) -> bool:
    # Without a mask as large as a quarter of the array.
    return not array.size or bool(np.isfinite([array.min(), array.max()]).all())


def _sizes_of_assemblages(frame: Frame, arrays: Mapping[str, Sized]) -> dict[str, tuple[int, ...]]:
    n_models, n_genes, params = frame.n_models, len(frame.genes), frame.params
    sizes: dict[str, tuple[int, ...]] = {"intercept": (n_models, n_genes)}
    if rank := params.get("rank"):
        sizes |= {"outgoing": (n_models, n_genes, rank), "incoming": (n_models, rank, n_genes)}
    else:
        sizes["influence"] = (n_models, n_genes, n_genes)
    if params.get("effects") == "total":
        sizes |= {keys.TOTAL_INFLUENCE: (n_models, n_genes, n_genes), keys.SIGNAL: (n_genes,)}
        drawn = arrays[keys.NULL_GENES].shape if keys.NULL_GENES in arrays else ()
        n_draws = drawn[-1] if drawn else 0
        _require((keys.NULL_GENES in arrays) == (keys.NULL_CHANGES in arrays), "its null is incomplete")
        optional = {
            keys.TOTAL_CORRELATION: (n_models, n_genes, n_genes),
            keys.TOTAL_STEP: (n_models, n_genes),
            keys.NULL_GENES: (n_models, n_draws),
            keys.NULL_CHANGES: (n_models, n_draws, n_genes),
            keys.TOTAL_INTERCEPT: (n_models, n_genes),
            keys.VARIATION: (n_models,),
        }
        sizes |= {name: shape for name, shape in optional.items() if name in arrays}
    return sizes


def _check_assemblages(frame: Frame, weights: Mapping[str, np.ndarray]) -> None:
    """Refuse total effects that cannot be right."""
    if keys.SIGNAL not in weights:
        return
    signal = weights[keys.SIGNAL]
    itself = np.diagonal(weights[keys.TOTAL_INFLUENCE], axis1=1, axis2=2)
    _require(not itself.any(), f"in {keys.TOTAL_INFLUENCE!r} genes act on themselves")
    _require(bool(((signal >= 0) & (signal <= 1)).all()), f"{keys.SIGNAL!r} is not between 0 and 1")
    for correlation in weights.get(keys.TOTAL_CORRELATION, ()):
        _require(bool(abs(correlation).max() <= 1), f"{keys.TOTAL_CORRELATION!r} is not between -1 and 1")
    if keys.NULL_GENES in weights:
        drawn = weights[keys.NULL_GENES]
        within = bool(((drawn >= 0) & (drawn < len(signal))).all())
        _require(within, f"{keys.NULL_GENES!r} has genes that are not there")
    if keys.TOTAL_STEP in weights:
        _require(bool((weights[keys.TOTAL_STEP] > 0).all()), f"{keys.TOTAL_STEP!r} is not above 0")


def _sizes_of_sccvae(frame: Frame, arrays: Mapping[str, Sized]) -> dict[str, tuple[int, ...]]:
    from ..models.sccvae import SHARED, config_of, shapes_of

    try:
        config = config_of(frame.params["config"])
    except ValueError as error:
        raise ValueError(f"params['config']: {error}") from error
    for name, n_axes in (("features", (2,)), ("strength", (1, 2)), ("network.features", (2, 3))):
        _require(name in arrays and len(arrays[name].shape) in n_axes, f"its weights lack {name!r}")
    n_features, n_trained = arrays["features"].shape[-1], arrays["network.features"].shape[-2]
    # Before a network is made of them.
    _require(n_trained <= len(frame.targets), "it has more training targets than targets")
    _require(len(config.hidden) + len(config.code_hidden) < len(arrays), "its weights lack those of hidden layers")
    shapes = shapes_of(config, len(frame.genes), len(frame.targets), n_trained, n_features)
    # Of one member, files of old have no axis of members.
    members = arrays["strength"].shape[:-1]
    n_members = members[0] if members else 1
    _require(n_members > 0 and frame.params.get("n_members", n_members) == n_members, f"it has {n_members} members")
    return {name: shape if name in SHARED else (*members, *shape) for name, shape in shapes.items()}


def _check_sccvae(frame: Frame, weights: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that contradict each other."""
    trained, node, mask = weights["trained"], weights["node"], weights["network.mask"]
    n_trained, n_latent = weights["network.features"].shape[-2], mask.shape[-1]
    rows = np.flatnonzero(trained >= 0)
    _require(
        bool((trained >= -1).all()) and np.array_equal(np.sort(trained[rows]), np.arange(n_trained)),
        "'trained' does not number the training targets",
    )
    named = node[node >= 0]
    _require(
        bool((node >= -1).all()) and len(np.unique(named)) == len(named) and bool((named < n_latent).all()),
        "'node' does not number latent dimensions",
    )
    targets = rows[np.argsort(trained[rows])]
    named = node[targets, None] == np.arange(n_latent)
    _require(bool((weights["network.own"] == named).all()), "'network.own' is not what 'node' says")
    _require(
        bool((weights["network.features"] == weights["features"][targets]).all()),
        "'network.features' are not those of the training targets",
    )
    _require(bool(np.isin(mask, (0, 1)).all()) and not np.tril(mask).any(), "'network.mask' is not an acyclic graph")
    # On-target effects are known of every measured gene, or of none.
    own, measured = weights["own"], np.isin(frame.targets, frame.genes)
    right = np.where(measured, np.isfinite(own), np.isnan(own)).all(-1) | np.isnan(own).all(-1)
    _require(bool(right.all()), "'own' is not known of the genes that are measured")
