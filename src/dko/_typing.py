"""Types that annotations share; imported by type checkers alone, so that importing it costs users nothing."""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from ._core.fitted import Fitted
from ._core.groups import Groups
from ._core.knockouts import Predictor
from ._core.names import Knockouts
from ._rng import RNG

__all__ = [
    "RNG",
    "AbstractContextManager",
    "AnnData",
    "Artist",
    "Axes",
    "Callable",
    "Collection",
    "Container",
    "Figure",
    "Fitted",
    "Groups",
    "Iterable",
    "Iterator",
    "Knockouts",
    "Mapping",
    "MuData",
    "Path",
    "Predictor",
    "Sequence",
]
