"""The plan: what a fit and what follows it will take, printed for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tl
from .._core import columns
from .._core.cells import unwrap
from .._core.messages import say
from .._core.tables import table_of
from .._settings import settings
from ..io._files import ending, read_any, write_table
from ..tl.planning._words import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._typing import AnnData, MuData


def print_plan(source: Path, table: Path | None, options: Mapping[str, Any]) -> None:
    """Print the plan for a file, of which no more is read than it takes, and write it where it is asked for."""
    data = _opened(source)
    with settings.override(verbosity=0):  # the table says it as well
        found = tl.plan(data, **{name: value for name, value in options.items() if value is not None})
    n_cells, n_vars = unwrap(data, options["mod"]).shape
    print(f"{source}: {n_cells:,} cells x {n_vars:,} genes\n")
    shown = table_of(words(found, options["workers"]), columns.PLAN, "Plan")
    print(f"{shown.as_text()}\n\n  {shown.notes}\n", flush=True)
    if table is not None:
        write_table(found, table)
        say(f"Wrote {table}.")
    say(f"Next: dko fit {source} --out fitted{source.suffix}")


def _opened(source: Path) -> AnnData | MuData:
    from anndata import read_h5ad

    if source.is_file() and ending(source) == ".h5ad":
        try:
            return read_h5ad(source, backed="r")
        except Exception:  # noqa: BLE001 what is wrong with it is said below
            pass
    return read_any(source)
