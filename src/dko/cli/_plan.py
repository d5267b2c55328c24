"""The plan: what a fit and what follows it will take, printed for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import tl
from .._core import columns
from .._core.cells import unwrap
from .._core.messages import say
from .._core.tables import table_of
from ..io._files import ending, read_any, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._typing import AnnData, MuData

_UNITS = {"s": 1, "min": 60, "h": 3_600, "days": 86_400, "years": 365 * 86_400}
_SIZES = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}


def print_plan(source: Path, table: Path | None, options: Mapping[str, Any]) -> None:
    """Print the plan for a file, of which no more is read than it takes, and write it where it is asked for."""
    data = _opened(source)
    found = tl.plan(data, **{name: value for name, value in options.items() if value is not None})
    n_cells, n_vars = unwrap(data, options["mod"]).shape
    print(f"{source}: {n_cells:,} cells x {n_vars:,} genes\n")
    shown = table_of(_words(found, options["workers"]), columns.PLAN, "Plan")
    print(f"{shown.as_text()}\n\n  {shown.notes}\n", flush=True)
    if table is not None:
        write_table(found, table, sep="\t" if ".tsv" in table.suffixes else ",")
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


def _words(found: pd.DataFrame, workers: int) -> pd.DataFrame:
    """Spell times and sizes in units that people have in mind."""
    several = [spelled(value, _UNITS) for value in found["seconds_with_workers"]] if workers > 1 else None
    low, high = ([spelled(value, _UNITS) for value in found[name]] for name in ("seconds_low", "seconds_high"))
    return pd.DataFrame(
        {
            "step": found.index,
            "genes": found["genes"].to_numpy(),
            "knockouts": found["knockouts"].to_numpy(),
            "time": [spelled(value, _UNITS) for value in found["seconds"]],
            "range": [f"{one} to {other}" for one, other in zip(low, high, strict=True)],
            "with workers": several,
            "memory": [spelled(value, _SIZES) for value in found["memory_bytes"]],
            "disk": [spelled(value, _SIZES) for value in found["disk_bytes"]],
        }
    )


def spelled(value: float, units: Mapping[str, float]) -> str:
    """Spell a number with two digits or more, in the largest unit of which there is at least one and a half."""
    fitting = [unit for unit, size in units.items() if value >= 1.5 * size]
    unit = fitting[-1] if fitting else next(iter(units))
    amount = value / units[unit]
    return f"{amount:,.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
