"""Tables that are read by people: the columns of a result, what they mean, and how their values are spelled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import Callable, Sequence

_LEFT = ("text", "gene")
_WORDS = (*_LEFT, "word")


@dataclass(frozen=True)
class Column:
    """A column of a result, as a report and the command line show it."""

    name: str  # in the DataFrame; of an interval, the lower end
    label: str  # heading
    # ``"text"``, ``"gene"``, ``"word"`` (text to the right), ``"count"``, ``"number"``, ``"signed"``, ``"percent"``,
    # ``"p"``, ``"interval"``
    kind: str = "number"
    note: str = ""  # what it means, for the line below the table
    upper: str = ""  # upper end of an interval
    brief: bool = True  # whether it is also shown where there is little room, in a terminal


class Cell(NamedTuple):
    """What is shown and, of a number, what is sorted by: the number, or nothing where there is none."""

    text: str
    value: str | None = None


@dataclass(frozen=True)
class Table:
    """A table with its caption; `rows` has a cell per column."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    @property
    def notes(self) -> str:
        """What the columns mean."""
        return "; ".join(f"{column.label}: {column.note}" for column in self.columns if column.note)

    @property
    def brief(self) -> Table:
        """The same without the columns that a terminal has no room for."""
        shown = [number for number, column in enumerate(self.columns) if column.brief]
        rows = [[row[number] for number in shown] for row in self.rows]
        return Table(self.caption, [self.columns[number] for number in shown], rows)

    def as_text(self, n_rows: int | None = None) -> str:
        """Spell the first rows out for a terminal: words to the left, numbers to the right."""
        lines = [
            [column.label for column in self.columns],
            *([cell.text for cell in row] for row in self.rows[:n_rows]),
        ]
        widths = [max(map(len, words)) for words in zip(*lines, strict=True)]
        sides = ["<" if column.kind in _LEFT else ">" for column in self.columns]
        spelled = [
            "  ".join(f"{word:{side}{width}}" for word, side, width in zip(line, sides, widths, strict=True)).rstrip()
            for line in lines
        ]
        left = len(self.rows) - len(lines) + 1
        return "\n".join([*spelled, *([f"... and {left:,} more"] if left else [])])


def table_of(frame: pd.DataFrame, columns: Sequence[Column], caption: str) -> Table:
    """Spell out those of the columns that a DataFrame has, and that have a value."""
    # Of a frame without rows, all of them.
    there = [one for one in columns if one.name in frame and (frame.empty or frame[one.name].notna().any())]
    return Table(caption, there, list(zip(*(_cells(frame, column) for column in there), strict=True)))


def _cells(frame: pd.DataFrame, column: Column) -> list[Cell]:
    if column.kind in _WORDS:
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
        return "{:,.0f}".format
    if kind == "percent":
        # With a decimal where it would be 0 otherwise.
        return lambda value: f"{100 * value:.{int(0 < value < 0.01)}f} %"
    if kind == "p":
        return lambda value: f"{value:.3f}" if value >= 0.001 else f"{value:.0e}" if value > 0 else "0"
    decimals, sign = _decimals(values), "+" if kind == "signed" else ""

    def spell(value: float) -> str:
        text = f"{value:{sign},.{decimals}f}"
        return text if text.strip("+-0.") else text.lstrip("+-")

    return spell


def _decimals(values: np.ndarray) -> int:
    """Return how many decimals give the largest number three digits, and most others two."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(sizes):
        return 0
    largest, usual = (math.floor(math.log10(size)) for size in (sizes.max(), np.median(sizes)))
    return int(np.clip(max(2 - largest, 1 - usual), 0, 8))
