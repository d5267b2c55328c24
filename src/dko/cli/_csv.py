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
    from ._cells import check_output

    if args.table is None:
        return
    if args.table in (args.out, args.input):
        raise ValueError(f"IN, --out and --table have to be different files, got {str(args.table)!r} twice.")
    check_output(args.table, args.force)


def write_table(table: pd.DataFrame, args: argparse.Namespace) -> None:
    """Write the whole table if it was asked for."""
    from .._log import say
    from ..io._atomic import atomic

    if args.table is None:
        return
    with atomic(args.table) as temporary:
        table.to_csv(temporary, index=False)
    say(f"Wrote {args.table}.")
