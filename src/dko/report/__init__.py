"""The report: everything that a file of results has, on one page."""

from ._page import render
from ._run import open_run

__all__ = ["open_run", "render"]
