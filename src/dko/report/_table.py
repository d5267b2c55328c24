"""DataFrames as tables of a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ._blocks import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from ._blocks import Column

_MINUS = "\N{MINUS SIGN}"


def table(frame: pd.DataFrame, columns: Sequence[Column], caption: str) -> Table:
    """Spell out those of the columns that a DataFrame has."""
    there = [column for column in columns if column.name in frame]
    cells = [_cells(frame, column) for column in there]
    return Table(caption, there, list(zip(*cells, strict=True)))


def _cells(frame: pd.DataFrame, column: Column) -> list[Cell]:
    if column.kind in ("text", "gene"):
        return [Cell(str(value)) for value in frame[column.name]]
    values = frame[column.name].to_numpy(dtype=float, na_value=np.nan)
    if column.kind == "interval":
        ends = frame[column.upper].to_numpy(dtype=float, na_value=np.nan)
        spell = spelling("number", np.concatenate([values, ends]))
        return [_cell(low, f"{spell(low)} to {spell(high)}") for low, high in zip(values, ends, strict=True)]
    spell = spelling(column.kind, values)
    return [_cell(value, spell(value) if math.isfinite(value) else "") for value in values]


def _cell(value: float, text: str) -> Cell:
    return Cell(text, repr(float(value))) if math.isfinite(value) else Cell("", "")


def spelling(kind: str, values: np.ndarray) -> Callable[[float], str]:
    """Return how numbers of a column are spelled, all with the same decimals."""
    if kind == "count":
        return lambda value: f"{value:,.0f}"
    if kind == "percent":
        return _percent
    if kind == "p":
        return p_value
    decimals, sign = _decimals(values), "+" if kind == "signed" else ""

    def spell(value: float) -> str:
        text = f"{value:{sign},.{decimals}f}"
        return text.replace("-", _MINUS) if text.strip("+-0.") else text.lstrip("+-")

    return spell


def _percent(value: float) -> str:
    """Spell a fraction, with a decimal where it would be 0 otherwise."""
    return f"{100 * value:.{int(0 < value < 0.01)}f}\N{NO-BREAK SPACE}%"


def p_value(value: float) -> str:
    """Spell a p-value."""
    if value >= 0.001:
        return f"{value:.3f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{_MINUS}{abs(int(exponent))}" if value > 0 else "0"


def _decimals(values: np.ndarray) -> int:
    """Return how many decimals give the largest number three digits, and most others two."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(sizes):
        return 0
    largest, usual = (math.floor(math.log10(size)) for size in (sizes.max(), np.median(sizes)))
    return int(np.clip(max(2 - largest, 1 - usual), 0, 8))
