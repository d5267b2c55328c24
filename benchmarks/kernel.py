"""The one place that names the compiled kernel, so that the cases that time it by itself need not know it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dko

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def single_knockouts(cells: AnnData) -> Callable[[], object]:
    """Return a call that makes all single knockouts of fitted cells."""
    return partial(dko.tl.scan, cells)
