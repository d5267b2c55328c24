"""One style for all plots: colours, sizes and fonts, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure as PlainFigure
from matplotlib.rcsetup import cycler

from .._core.verb import verb

if TYPE_CHECKING:
    from .._typing import Mapping

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito's colours, which all kinds of colour vision distinguish; without their yellow, which is pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, RED, GREEN = COLORS[:3]
FALLS, RISES = BLUE, RED
# Paul Tol's muted colours and a grey, for up to ten groups.
MUTED = ("#332288", "#CC6677", "#117733", "#DDCC77", "#882255", "#88CCEE", "#AA4499", "#999933", "#44AA99", "#666666")
# What is absent or beneath, what is beside the point, what is read; on white.
PALE, GREY, DARK = "0.82", "0.6", "0.4"
DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
# For series beyond the number of colours.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
# Points of names in a plot: of few, of many.
NAMES, SMALL_NAMES = 8.0, 6.5
# Above so many, points are pixels in vector files, which would otherwise take minutes to open.
_MOST_VECTORS = 5_000

# Text stays text, which can be searched and edited.
_VECTOR: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}
_STYLE: dict[str, Any] = {
    **_VECTOR,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.titlesize": "medium",
    "figure.labelsize": "medium",
    "image.cmap": SEQUENTIAL,
    "legend.fontsize": "small",
    "legend.frameon": False,
    "legend.title_fontsize": "small",
}
# Those of scanpy; the last comes with matplotlib.
_FONTS = ("Arial", "Helvetica", "DejaVu Sans")
# Of the screen or the page, not of the picture.
_OF_THE_USER = ("figure.dpi", "figure.figsize", "savefig.")

_is_on: ContextVar[bool] = ContextVar("dko_style", default=False)
# What keeps the parameters that were there before any block, and once more for each block that has not ended.
_blocks: list[AbstractContextManager[None]] = []
_lock = Lock()


class Figure(PlainFigure):
    """A figure that is saved with its text as text, whatever is set at that time."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with mpl.rc_context(_VECTOR):
            super().savefig(*args, **kwargs)


@verb
@contextmanager
def style(rc: Mapping[str, Any] | mpl.RcParams | None = None) -> Iterator[None]:
    """Draw in the style of this package: ``with dko.pl.style(): ...``.

    All functions of ``dko.pl`` do so, whatever has been set before; inside a block they take its `rc`, and axes of
    your own look the same. The style is matplotlib's default with scanpy's fonts (Arial, Helvetica or DejaVu Sans, the
    first there is) at 10 points, colours that all kinds of colour vision distinguish, no frame around legends, and text
    that stays text in PDF and SVG (save inside the block). Sizes of figures and resolutions stay yours.

    Parameters
    ----------
    rc
        What to have otherwise, as in ``matplotlib.rcParams``; all of these, ``rc=matplotlib.rcParams``, draws in
        your own style.

    Returns
    -------
    A context manager; ``matplotlib.rcParams`` are afterwards as before.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> with dko.pl.style({"font.size": 8}):
    ...     figure = dko.pl.ranking(adata, return_fig=True)
    >>> figure.savefig("ranking.pdf")
    """
    kept = {name: mpl.rcParams[name] for name in mpl.rcParams if name.startswith(_OF_THE_USER)}
    there = set(font_manager.get_font_names())
    font = next(name for name in _FONTS if name in there or name == _FONTS[-1])
    chosen: Any = {**kept, "font.family": font, **_STYLE, **(rc or {})}
    before, interactive = _is_on.set(True), mpl.is_interactive()
    try:
        with _kept_in_any_thread(), mpl.rc_context():
            matplotlib.style.use("default")
            mpl.rcParams.update(chosen)
            try:
                yield
            finally:
                # The first figure loads the backend; that of notebooks turns this on, and shows no figures without it.
                interactive = mpl.is_interactive()
    finally:
        mpl.interactive(interactive)
        _is_on.reset(before)


@contextmanager
def _kept_in_any_thread() -> Iterator[None]:
    """Have parameters as before once the last of several blocks has ended: each would restore what others have set."""
    with _lock:
        if not _blocks:
            _blocks.append(mpl.rc_context())
            _blocks[0].__enter__()
        _blocks.append(_blocks[0])
    try:
        yield
    finally:
        with _lock:
            _blocks.pop()
            if len(_blocks) == 1:
                _blocks.pop().__exit__(None, None, None)


def plot(function: Callable[P, R]) -> Callable[P, R]:
    """Make a plot public: it is drawn in one style, or in that of the block that it is called in."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with nullcontext() if _is_on.get() else style():
            return function(*args, **kwargs)

    return verb(styled)


def flatten_many(figure: PlainFigure) -> None:
    """Make pixels of what has very many points, for vector files."""
    for ax in figure.axes:
        for drawn in ax.collections:
            drawn.set_rasterized(len(np.asarray(drawn.get_offsets())) > _MOST_VECTORS)
