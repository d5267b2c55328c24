"""The report: everything that a file of results has, on one page."""

from ._page import render
from ._sections import SECTIONS, Run, open_run

__all__ = ["SECTIONS", "Run", "open_run", "render"]
