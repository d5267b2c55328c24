"""Tables of results as files beside the cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    import pandas as pd


def add_table(parser: argparse.ArgumentParser, rows: str) -> None:
    """Add the file of the whole table."""
    parser.add_argument("--table", metavar="CSV", type=Path, help=f"also write the whole table: {rows}")


def check_table(args: argparse.Namespace) -> None:
    """Refuse a table that could not be written in the end."""
    from ._cells import check_beside

    check_beside(args, "table")


def write_table(table: pd.DataFrame, args: argparse.Namespace) -> None:
    """Write the whole table if it was asked for."""
    from .._core.messages import say
    from ..io._files import write_table as write

    if args.table is None:
        return
    write(table, args.table, index=False)
    say(f"Wrote {args.table}.")
