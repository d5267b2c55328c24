"""Figures as pictures of a page."""

from __future__ import annotations

import base64
import io
import struct
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._blocks import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

# Dots per inch, and CSS pixels per inch at which a picture is shown: twice as many dots for sharp screens and print.
_DPI, _SHOWN = 144, 84


def picture(figure: Figure, alt: str) -> Picture:
    """Draw a figure, which then is forgotten."""
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    with warnings.catch_warnings():
        # Names that are longer than the figure: the picture is poor, and the page still has its tables.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
    plt.close(figure)
    content = file.getvalue()
    # The header of a PNG has the width and the height after 16 bytes.
    width, height = (round(dots * _SHOWN / _DPI) for dots in struct.unpack(">II", content[16:24]))
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height, alt)


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw as matplotlib does by default, whatever the user has set for his own figures."""
    import matplotlib.style

    with matplotlib.style.context("default"):
        yield
