"""Work on many things that others may share: all of it here, unless a caller passes in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeVar

    R = TypeVar("R")


class Each(Protocol):
    """How work on many things is done: on all of them at once, or on one part after the other, perhaps elsewhere."""

    def __call__(self, work: Callable[[Any, slice], R], things: Any, least: int) -> Iterator[R]:
        """Yield, in order, what `work` finds in each part of the `things`, of which it is told which ones they are.

        `things` have a ``shape`` and are cut by a slice. Parts of fewer than `least` of them are not worth sharing.
        What is found does not depend on who works.
        """


def all_at_once(work: Callable[[Any, slice], R], things: Any, least: int) -> Iterator[R]:
    """Do the work here, on all things as they are."""
    yield work(things, slice(0, things.shape[0]))


def added_up(found: Iterable[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Add up arrays of each part, in order; those of one alone are not copied."""
    parts = iter(found)
    # What comes from another process may be read-only.
    totals = [np.require(one, requirements="W") for one in next(parts)]
    for arrays in parts:
        for total, one in zip(totals, arrays, strict=True):
            total += one
    return totals
