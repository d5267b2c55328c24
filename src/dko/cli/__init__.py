"""The command line: from fits and knockouts to tables and a report, from files."""

from ._main import main

__all__ = ["main"]
