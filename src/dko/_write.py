"""Writing results into an AnnData: everything at once, at the end, also into a view."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from anndata import ImplicitModificationWarning

from . import _keys
from ._log import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData


def write_model(adata: AnnData, key: str, content: Mapping[str, Any], **places: Mapping[str, Any]) -> None:
    """Write a model into ``uns[key]``, and take away what was predicted with the model that was there before it."""
    earlier = adata.uns.get(key, {}).get(_keys.KNOCKOUTS)
    write(adata, uns={key: dict(content)}, **places)
    profiles = [] if earlier is None else [_keys.ko_layer(key, label) for label in earlier["label"]]
    for name in [_keys.impact(key), *profiles]:
        adata.layers.pop(name, None)
    adata.obsm.pop(_keys.impact(key), None)
    stale = [name for name in (_keys.impact_mean(key), _keys.n_cells(key)) if name in adata.var]
    if stale:
        adata.var = adata.var.drop(columns=stale)


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
