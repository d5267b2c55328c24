"""How many threads torch uses for small arithmetic."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread inside the block, and restore the number afterwards.

    A piece of work of less than a millisecond gains nothing from a second thread, and waits long for it where the
    machine is busy.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
