"""What all public functions have in common: checks of keywords and values, progress bars, Ctrl-C."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from numbers import Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pandas as pd
from pandas.api.types import is_bool, is_integer

from .._docs import documented
from .._rng import require_rng
from .groups import COMBINE
from .keys import require_key
from .messages import bars, shown
from .process import process_kept

if TYPE_CHECKING:
    from collections.abc import Collection


P = ParamSpec("P")
R = TypeVar("R")

# Names that other packages have for a parameter, where spelling is no help.
_ALSO_CALLED = {
    "basis": ("use_rep", "obsm", "embedding"),
    "control": ("ctrl", "reference", "control_label"),
    "copy": ("inplace", "in_place"),
    "device": ("gpu", "use_gpu", "cuda", "accelerator"),
    "devices": ("n_devices", "num_devices", "gpus", "n_gpus", "n_processes"),
    "genes": ("var_names", "gene_list", "features", "targets"),
    "groupby": ("by", "cell_type", "cluster_key", "labels_key"),
    "groups": ("cells", "mask", "subset"),
    "key": ("key_added", "model_key"),
    "key_added": ("key", "model_key"),
    "learning_rate": ("lr", "step_size"),
    "max_epochs": ("epochs", "n_epochs", "num_epochs"),
    "max_steps": ("steps", "n_steps", "n_iter", "max_iter"),
    "mod": ("modality", "mod_key"),
    "n_top_genes": ("hvg", "n_hvg", "n_genes"),
    "out": ("output", "path", "filename", "save"),
    "path": ("out", "output", "filename", "file"),
    "perturbation_key": ("condition", "condition_key", "pert_key", "groupby"),
    "progress": ("verbose", "verbosity", "quiet", "show_progress", "progress_bar", "tqdm"),
    "return_fig": ("save", "savefig"),
    "rng": ("random_state", "seed", "random_seed"),
    "test_fraction": ("test_size",),
    "validation_fraction": ("val_size", "validation_size"),
}
_THREADS = {"n_jobs", "n_threads", "num_threads", "threads", "n_cores", "workers", "num_workers"}


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function public.

    Refused are unknown keywords, with the name that was probably meant, and values that do not fit annotations;
    ``progress=False`` holds for everything that is called; Ctrl-C is always a KeyboardInterrupt, also in compiled code.
    """
    parameters = inspect.signature(function).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind != parameter.VAR_KEYWORD]
    n_places = sum(parameter.kind == parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    takes_more = len(names) < len(parameters)
    kinds = {parameter.name: str(parameter.annotation) for parameter in parameters}
    title = public_name(function)
    documented(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > n_places:
            first = ", ".join(names[:n_places]) or "nothing"
            raise TypeError(f"{title} takes {first} without a keyword, and everything else by name.")
        more = [name for name in kwargs if name not in names]
        if more and not takes_more:
            raise TypeError(unknown_keywords(title, more, names))
        check_values({**dict(zip(names, args, strict=False)), **kwargs}, kinds)
        handled = sys.exception()
        try:
            with bars(shown=bool(kwargs.get("progress", True))), process_kept():
                return function(*args, **kwargs)
        except Exception as error:
            if _hides_interrupt(error, handled):
                raise KeyboardInterrupt from error
            # Keywords that are passed to another library are refused by it.
            if isinstance(error, TypeError | AttributeError):
                refused = [name for name in more if f"keyword argument {name!r}" in str(error)]
                if strange := [name for name in refused if near(name, names)]:
                    raise TypeError(unknown_keywords(title, strange, names)) from error
            raise

    return call


def public_name(function: Callable[..., object]) -> str:
    """Return under which name users know a function: ``dko.tl.fit``."""
    return ".".join([*function.__module__.split(".")[:2], function.__name__])


def unknown_keywords(title: str, given: Iterable[str], known: Collection[str]) -> str:
    """Say which keywords a function does not have, and which were probably meant."""
    sentences = []
    for name in given:
        if meant := near(name, known):
            hint = f"did you mean {' or '.join(meant)}?"
        elif name in _THREADS:
            hint = "it uses as many threads as torch.set_num_threads and numba.set_num_threads allow."
        else:
            hint = f"it takes {', '.join(known)}."
        sentences.append(f"{title} takes no {name}=...; {hint}")
    return " ".join(sentences)


def near(name: str, known: Collection[str]) -> list[str]:
    """Return which parameters were probably meant, by spelling or by what others call them."""
    also = [parameter for parameter, others in _ALSO_CALLED.items() if name.lower() in others and parameter in known]
    return also or get_close_matches(name.lower(), known, n=2, cutoff=0.6)


def _hides_interrupt(error: BaseException | None, handled: BaseException | None) -> bool:
    """Whether an error has come of an interrupt, other than one that the caller was handling already."""
    if error is None or error is handled:
        return False
    before = (error.__cause__, error.__context__)
    return isinstance(error, KeyboardInterrupt) or any(_hides_interrupt(one, handled) for one in before)


_LARGEST = 2**31
_Test = Callable[[Any], bool]
_AT_LEAST_1 = (
    *("batch_size", "min_cells", "n_arrows", "n_bootstrap", "n_bootstraps", "n_cells", "n_genes", "n_markers"),
    *("n_controls", "n_masters", "n_modules", "n_neighbors", "n_pcs", "n_permutations", "n_responders", "n_samples"),
    *("depth", "devices", "n_splits", "n_types", "ncols", "num_nodes", "workers"),
)
_SHARES = ("copying", "density", "penetrance", "regulating_share", "repression_share")
# Ranges of parameters, which are the same in all functions that have them.
_RANGES: dict[str, tuple[str, _Test]] = {
    **dict.fromkeys(_AT_LEAST_1, ("at least 1", lambda value: value >= 1)),
    **dict.fromkeys(("n_folds", "n_top_genes"), ("at least 2", lambda value: value >= 2)),
    **dict.fromkeys(
        ("heterogeneity", "library", "n_others", "n_without_effect", "noise"), ("at least 0", lambda value: value >= 0)
    ),
    **dict.fromkeys(_SHARES, ("from 0 to 1", lambda value: 0 <= value <= 1)),
    "dose": ("from 0 (nothing is removed) to 1 (knockout)", lambda value: 0 <= value <= 1),
    "dropout": ("a percentile from 0 to 100", lambda value: 0 <= value <= 100),
    "alpha": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    **dict.fromkeys(("bandwidth", "decay", "resolution"), ("above 0", lambda value: value > 0)),  # also refuses NaN
    "validation_fraction": ("above 0 and below 1", lambda value: 0 < value < 1),
    **dict.fromkeys(
        ("knockdown", "test_fraction", "test_controls", "validation_perturbations"),
        ("at least 0 and below 1", lambda value: 0 <= value < 1),
    ),
}


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not is_bool(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, bytes | Mapping)


def _is_list_of(fits: _Test, value: Any) -> bool:
    return _is_list(value) and not isinstance(value, str) and all(map(fits, value))


# By the annotation of a parameter.
_KINDS: dict[str, tuple[str, _Test]] = {
    "int": ("a whole number", is_integer),
    "float": ("a number", lambda value: _is_real(value) and math.isfinite(value)),
    "bool": ("True or False", is_bool),
    "str": ("a string", lambda value: isinstance(value, str)),
    "Path": ("a path", lambda value: isinstance(value, PathLike)),
    "None": ("None", lambda value: value is None),
    "Sequence[str]": ("a list of names", _is_list),
    "Sequence[tuple[str, str]]": ("a list of pairs of names", lambda value: _is_list_of(_is_list, value)),
    "Sequence[float]": ("a list of numbers", lambda value: _is_list_of(_is_real, value)),
    "Mapping[str, str]": ("a dictionary", lambda value: isinstance(value, Mapping)),
    "Axes": ("axes of matplotlib", lambda value: hasattr(value, "figure")),
    "pd.Series": ("a Series", lambda value: isinstance(value, pd.Series)),
}


def check_values(given: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
    """Refuse values that are not what simple annotations say: TypeError; ValueError if not finite, or not whole."""
    for name, value in given.items():
        annotation = annotations.get(name, "Any")
        if annotation == "RNG":
            require_rng(value)
        if name == "key_added" and isinstance(value, str):
            require_key(value, name)
        kinds = [_KINDS.get(kind) for kind in annotation.split(" | ")]
        if None in kinds or any(fits(value) for _, fits in filter(None, kinds)):
            if is_integer(value) and annotation != "RNG" and abs(int(value)) > _LARGEST:
                raise ValueError(f"{name}={value} is too large; choose at most {_LARGEST:,}.")
            if name in _RANGES and isinstance(value, Real) and not _RANGES[name][1](value):
                raise ValueError(f"{name}={value!r} must be {_RANGES[name][0]}.")
            continue
        words = " or ".join(word for word, _ in filter(None, kinds)) + (COMBINE if name == "groupby" else "")
        wrong = ValueError if _is_real(value) else TypeError
        raise wrong(f"{name}={shown(value)} must be {words}.")
