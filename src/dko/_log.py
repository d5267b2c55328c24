"""What the package says to its user: one line at a time, through logging where the user has set it up."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger("dko")
T = TypeVar("T")


def say(message: str) -> None:
    """Tell the user what was chosen or done.

    Goes to the ``dko`` logger when somebody listens there at level INFO, otherwise to stderr, so that the message is
    seen in a notebook without this library touching the handlers of the host application.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.info(message)
    elif settings.verbosity >= 1:
        sys.stderr.write(f"{message}\n")


def progress(items: Iterable[T], *, total: int, description: str, unit: str) -> Iterator[T]:
    """Show a progress bar over `items`, once the job has taken longer than a second."""
    from tqdm.auto import tqdm

    return iter(tqdm(items, total=total, desc=description, unit=unit, delay=1.0, disable=settings.verbosity < 1))


@contextmanager
def progress_of(total: int, *, description: str, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, once the job has taken longer than a second; what it yields takes how much more is done."""
    from tqdm.auto import tqdm

    with tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        delay=1.0,
        leave=False,
        disable=settings.verbosity < 1,
    ) as bar:
        yield bar.update
