"""A plan in units that people have in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..._core.messages import many

if TYPE_CHECKING:
    from ..._typing import Mapping

UNITS = {"s": 1, "min": 60, "h": 3_600, "days": 86_400, "years": 365 * 86_400}
SIZES = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}


def words(plan: pd.DataFrame, workers: int) -> pd.DataFrame:
    """Spell times and sizes of a plan."""
    times = plan.filter(like="seconds").map(spelled, units=UNITS)
    sizes = plan.filter(like="_bytes").map(spelled, units=SIZES)
    return pd.DataFrame(
        {
            "step": plan.index,
            "genes": plan["genes"],
            "knockouts": plan["knockouts"],
            "time": times["seconds"],
            "range": times["seconds_low"] + " to " + times["seconds_high"],
            "with workers": times["seconds_with_workers"] if workers > 1 else None,
            "memory": sizes["memory_bytes"],
            "disk": sizes["disk_bytes"],
        }
    )


def summary(plan: pd.DataFrame, workers: int) -> str:
    """Say the time and the memory of each step on one line."""
    steps = words(plan, workers)
    shared = [
        f" ({many(workers, 'worker')}: {after})" if workers > 1 and after != before else ""
        for before, after in zip(steps["time"], steps["with workers"], strict=True)
    ]
    return "; ".join(steps["step"] + " " + steps["time"] + shared + ", " + steps["memory"])


def spelled(value: float, units: Mapping[str, float]) -> str:
    """Spell a number with two digits or more, in the largest unit of which there is at least one and a half."""
    fitting = [unit for unit, size in units.items() if value >= 1.5 * size]
    unit = fitting[-1] if fitting else next(iter(units))
    amount = value / units[unit]
    return f"{amount:,.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
