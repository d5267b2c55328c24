"""Virtual gene knockout for AnnData.

What would each cell look like without a gene, and which genes matter most?
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._settings import settings

if TYPE_CHECKING:
    from . import datasets, get, io, metrics, models, pl, pp, tl

    __version__: str

__all__ = ["datasets", "get", "io", "metrics", "models", "pl", "pp", "settings", "tl"]


def __getattr__(name: str) -> Any:
    """Import a part of the package when it is first asked for, so that ``dko --help`` takes no time."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
