"""From rows to files: the raw numbers (CSV), means with their ranges and verdicts (JSON), and tables (Markdown)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._report import table as markdown
from ._bars import BARS, REFERENCES, judge
from ._models import MODELS
from ._pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ._pages import Page, Table

    Numbers = dict[str, Any]

_VERDICT = {True: "met", False: "**not met**", None: "not measured"}
_KEYS = ["data", "metric", "method"]


def write(name: str, rows: pd.DataFrame, about: Numbers, folder: Path) -> str:
    """Write the three files of a family of data sets, and return the page."""
    found = summarise(rows)
    # Whether a bar is met in a quick run means nothing.
    bars = [] if about["quick"] else [judge(bar, found["mean"]) for bar in BARS[name]]
    text = page(PAGES[name], found, bars, about)
    stem = folder / f"accuracy_{name}"
    rows.to_csv(stem.with_suffix(".csv"), index=False, float_format="%.5g")
    stem.with_suffix(".md").write_text(text)
    numbers = {**about, "bars": bars, "results": found.reset_index().to_dict("records")}
    stem.with_suffix(".json").write_text(json.dumps(_plain(numbers), indent=1) + "\n")
    return text


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest value of each method over all fits and networks, and the mean interval."""
    grouped = rows.groupby(_KEYS, sort=False)
    found = grouped["value"].agg(["mean", "min", "max", "count"])
    return found.join(grouped[["low", "high"]].mean())


def page(about_page: Page, found: pd.DataFrame, bars: list[Numbers], about: Numbers) -> str:
    """Return the tables of a family."""
    seeds = f"{about['seeds']} fits of each model" + ", quick run" * about["quick"]
    verdicts = [(bar["data"], bar["metric"], f"{bar['value']:.3f}", bar["bar"], _VERDICT[bar["met"]]) for bar in bars]
    parts = [
        f"## {about_page.title}\n",
        f"{about['date']}; {seeds}; {about['machine']}\n",
        f"{about_page.note}\n",
        *([markdown(["data", "score", "default", "bar", ""], verdicts)] if bars else []),
        *(_table(one, found) for one in about_page.tables),
    ]
    return "\n".join(parts)


def _table(one: Table, found: pd.DataFrame) -> str:
    known = set(found.index)
    methods = _in_order(found.index.unique("method"))
    columns = [(data, metric) for data in one.data for metric in one.metrics]
    columns = [column for column in columns if any((*column, method) in known for method in methods)]
    methods = [method for method in methods if any((*column, method) in known for column in columns)]
    header = ["", *(_title(one, *column) for column in columns)]
    lines = [[method, *(_cell(found, *column, method) for column in columns)] for method in methods]
    return f"**{one.caption}**\n\n{markdown(header, lines)}"


def _title(one: Table, data: str, metric: str) -> str:
    if len(one.data) == 1:
        return one.metrics[metric]
    return data if len(one.metrics) == 1 else f"{data}: {one.metrics[metric]}"


def _in_order(methods: Iterable[str]) -> list[str]:
    """Put the models first, then what needs none, then what a perfect one could reach."""
    place = {**{name: -len(MODELS) + number for number, name in enumerate(MODELS)}, **dict.fromkeys(REFERENCES, 1)}
    return sorted(methods, key=lambda name: place.get(name, 0))


def _cell(found: pd.DataFrame, data: str, metric: str, method: str) -> str:
    if (data, metric, method) not in found.index:
        return ""
    one = found.loc[(data, metric, method)]
    low, high = _digits(one["min"]), _digits(one["max"])
    spread = "" if low == high else f" ({low} to {high})"
    interval = f" [{_digits(one['low'])}, {_digits(one['high'])}]" if np.isfinite(one["low"]) else ""
    return f"{_digits(one['mean'])}{spread}{interval}"


def _digits(value: float) -> str:
    return f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def _plain(value: Any) -> Any:
    """Replace what JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(float(value), 5)
    return value
