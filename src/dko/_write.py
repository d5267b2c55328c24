"""Writing results into an AnnData: everything at once, at the end, also into a view."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from anndata import ImplicitModificationWarning

from ._log import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData


def write(adata: AnnData, **places: Mapping[str, Any]) -> None:
    """Write results, given as ``obs={name: values}``, ``layers={name: matrix}`` and so on.

    The first write into a view makes a copy of it, which anndata does by itself; it is told to the user once.
    """
    if adata.is_view:
        say("This AnnData is a view of another; the results make it a copy of its own.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        for place, entries in places.items():
            for name, value in entries.items():
                getattr(adata, place)[name] = value
