"""From rounds to a page of Markdown and a file of numbers."""

from __future__ import annotations

import json
import re
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ._case import Case, Claim, Outcome, Round, Value

    Numbers = dict[str, Any]

_COLUMNS = {
    "wall": "wall, s",
    "cpu": "CPU, s",
    "work": "knockouts",
    "each": "µs each",
    "steps": "steps",
    "present genes": "present genes per cell",
    "warm-up": "first call, s",
    "process wall": "process wall, s",
    "process cpu": "process CPU, s",
    "peak": "peak, MB",
    "extra": "extra, MB",
    "result": "result, MB",
}
_VERDICT = {True: "met", False: "**not met**", None: ""}


def summarise(case: Case, rounds: Sequence[Round], about: Numbers) -> Numbers:
    """Return all that is worth keeping of a case: every claim with its median and range, every number measured."""
    outcomes = {contestant.name: [outcomes[contestant.name] for outcomes in rounds] for contestant in case.contestants}
    return {
        **about,
        "case": case.name,
        "title": case.title,
        "note": case.note,
        "repeats": len(rounds),
        # Whether a bar is met in a quick run means nothing.
        "claims": [_claim(claim, rounds) | ({"met": None} if about["quick"] else {}) for claim in case.claims],
        "contestants": {name: _numbers(each) for name, each in outcomes.items()},
    }


def _claim(claim: Claim, rounds: Sequence[Round]) -> Numbers:
    values = _values(claim.value, rounds)
    return {
        "text": claim.text,
        "unit": claim.unit,
        "values": values,
        "by_cpu": [] if claim.by_cpu is None else _values(claim.by_cpu, rounds),
        "bar": claim.bar,
        "met": claim.met(median(values)) if values else None,
    }


def _values(value: Value, rounds: Sequence[Round]) -> list[float]:
    """Return one value per round; none at all unless every round has one, as a median of the lucky ones would lie."""
    try:
        return [value(outcomes) for outcomes in rounds]
    except KeyError:
        return []


def _numbers(outcomes: Sequence[Outcome]) -> Numbers:
    """Return the values of each number over the rounds; lists, which serve to compare results, are left out."""
    return {
        name: [outcome.get(name) for outcome in outcomes]
        for name, value in outcomes[0].items()
        if not isinstance(value, list)
    }


def page(summary: Numbers) -> str:
    """Return the tables of one case."""
    claims = [
        (
            claim["text"],
            _spread(claim["values"], claim["unit"]),
            _spread(claim["by_cpu"]),
            claim["bar"],
            _verdict(claim),
        )
        for claim in summary["claims"]
    ]
    measured = {name: numbers for name, numbers in summary["contestants"].items() if "skipped" not in numbers}
    columns = [column for column in _COLUMNS if any(column in numbers for numbers in measured.values())]
    rows = [(name, *(_spread(numbers.get(column, [])) for column in columns)) for name, numbers in measured.items()]
    skipped = [
        f"Not measured: {name} ({numbers['skipped'][0]}).\n"
        for name, numbers in summary["contestants"].items()
        if "skipped" in numbers
    ]
    date = f"{summary['date']}{', quick run' * summary['quick']}"
    parts = [
        f"# {summary['title']}\n",
        f"{date}; rounds: {summary['repeats']}, median (range); {summary['machine']}\n",
        table(["", "by wall time", "by CPU time", "bar", ""], claims),
        table(["", *(_COLUMNS[column] for column in columns)], rows),
        *skipped,
        *([f"{summary['note']}\n"] if summary["note"] else []),
    ]
    return "\n".join(parts)


def _verdict(claim: Numbers) -> str:
    return _VERDICT[claim["met"]] if claim["values"] else "not reached or not measured"


def _spread(values: Sequence[float], unit: str = "") -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    spread = "" if low == high else f" ({_digits(low)} to {_digits(high)})"
    return f"{_digits(median(values))}{spread} {unit}".strip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(summary: Numbers, folder: Path) -> Path:
    """Write the dated page and the dated numbers of a case."""
    path = folder / f"{summary['date']}_{summary['case']}.md"
    path.write_text(page(summary))
    path.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    return path


def write_latest(folder: Path, names: Iterable[str]) -> None:
    """Put the newest page of every case into ``latest.md``, one level of headings down, for the documentation."""
    newest = [sorted(folder.glob(f"????-??-??_{name}.md"))[-1:] for name in names]
    pages = [re.sub("^#", "##", path.read_text(), flags=re.MULTILINE) for found in newest for path in found]
    (folder / "latest.md").write_text("\n".join(pages))
