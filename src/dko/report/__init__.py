"""The report: everything that a file of results has, on one page."""

from ._embedding import render_embedding
from ._page import render
from ._run import Run, open_run
from ._sections import SECTIONS

__all__ = ["SECTIONS", "Run", "open_run", "render", "render_embedding"]
