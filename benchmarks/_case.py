"""The words of a benchmark: contestants, the claims about them, and the case that holds both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Outcome: TypeAlias = Mapping[str, Any]
"""What one process of a contestant measured."""
Round: TypeAlias = Mapping[str, Outcome]
"""One outcome of each contestant of a case, one after the other: what drifts, drifts for all of them."""
Value: TypeAlias = Callable[[Round], float]


@dataclass(frozen=True)
class Contestant:
    """A function to call in a fresh process.

    Attributes
    ----------
    name
        As the tables show it.
    target
        ``module:function`` below ``benchmarks``. It gets the folder of the inputs and `arguments`, and returns numbers
        by name.
    arguments, quick
        Keywords, and those that a quick run has instead of them.
    given
        Keywords that come from contestants before this one in the same round: keyword -> (contestant, number).
    seeded
        Gets the number of the round as the keyword ``seed``.
    threads
        Threads of every library; None leaves that to them.
    environment
        Name of the virtual environment, where it needs one of its own.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    seeded: bool = False
    threads: int | None = 1
    environment: str | None = None


@dataclass(frozen=True)
class Claim:
    """A number that a case is about, and the bar for it where there is one.

    Attributes
    ----------
    text
        What the number says.
    value, by_cpu
        From one round to the number; the second by CPU time instead of wall time, where that makes a difference.
    unit
        Of the number.
    at_least, at_most
        The bar.
    """

    text: str
    value: Value
    by_cpu: Value | None = None
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def met(self, median: float) -> bool | None:
        """Tell whether a median clears the bar; None without one."""
        if self.at_least is not None:
            return median >= self.at_least
        return None if self.at_most is None else median <= self.at_most

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g} {self.unit}".strip()
        return "" if self.at_most is None else f"at most {self.at_most:g} {self.unit}".strip()


@dataclass(frozen=True)
class Case:
    """Contestants on the same inputs.

    Attributes
    ----------
    name, title, note
        On the command line, above the table, and below it.
    contestants, claims
        Who runs, in this order, and what is read off it.
    inputs
        Names of the files in ``inputs.py`` that they read.
    repeats
        Rounds, unless the user says otherwise.
    named
        Whether it runs only when it is named, as it takes minutes and gigabytes.
    """

    name: str
    title: str
    contestants: Sequence[Contestant]
    claims: Sequence[Claim]
    inputs: Sequence[str] = ()
    repeats: int = 5
    named: bool = False
    note: str = ""


def number(text: str, contestant: str, what: str, what_cpu: str | None = None, **rest: Any) -> Claim:
    """Claim a number that a contestant has measured itself, and the one that it has by CPU time."""

    def value(name: str) -> Value:
        return lambda outcomes: outcomes[contestant][name]

    return Claim(text, value(what), None if what_cpu is None else value(what_cpu), **rest)


def seconds(text: str, contestant: str, **rest: Any) -> Claim:
    """Claim the time of a contestant."""
    return number(text, contestant, "wall", "cpu", unit="s", **rest)


def times_faster(
    text: str, ours: str, other: str, *, each: bool = False, what: str = "", what_other: str = "", **rest: Any
) -> Claim:
    """Claim the time of another contestant over ours; with `each`, per piece of work that each of them has done.

    `what` and `what_other` are the prefixes of their two clocks.
    """

    def value(clock: str) -> Value:
        def ratio(outcomes: Round) -> float:
            fast, slow = outcomes[ours], outcomes[other]
            work = fast["work"] / slow["work"] if each else 1.0
            return slow[what_other + clock] / fast[what + clock] * work

        return ratio

    return Claim(text, value("wall"), value("cpu"), unit="times", **rest)


def largest_difference(text: str, ours: str, other: str, **rest: Any) -> Claim:
    """Claim the largest difference between the impacts of two contestants, over those that both have made."""

    def value(outcomes: Round) -> float:
        pairs = list(zip(outcomes[ours]["impacts"], outcomes[other]["impacts"], strict=False))
        return max(abs(a - b) for a, b in pairs)

    return Claim(text, value, **rest)
