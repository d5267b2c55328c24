"""Writing results into an AnnData: everything at once, at the end, also into a view."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from anndata import ImplicitModificationWarning

from . import _keys
from ._compat import modalities_apart
from ._data import unwrap
from ._log import say
from ._results import IDENTITY, labels_beside, read_params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData


def writable(data: AnnData | MuData, copy: bool, mod: str) -> AnnData | MuData:
    """Return what a verb writes into: `data`, or a copy of it; refuse, before any work, what cannot be written into."""
    adata = unwrap(data, mod)
    if adata.isbacked and (copy or adata.is_view):
        what = "copied" if copy else "written into as a view"
        raise ValueError(f"An AnnData backed by a file cannot be {what}; call adata.to_memory() first.")
    if not copy:
        return data
    with modalities_apart() if adata is not data else nullcontext():
        return data.copy()


def write_model(adata: AnnData, key: str, content: Mapping[str, Any], **places: Mapping[str, Any]) -> None:
    """Write a model into ``uns[key]``, and take away what was predicted with the model that was there before it."""
    profiles = [_keys.ko_layer(key, label) for label in labels_beside(adata.uns.get(key))]
    stale = {
        "layers": [_keys.impact(key), *profiles],
        "obsm": [_keys.impact(key)],
        "obs": [_keys.split(key), _keys.fit_error(key)],
        "var": [_keys.impact_mean(key), _keys.n_cells(key), _keys.signal(key)],
        "uns": [_keys.evaluation(key), _keys.dose_response(key), _keys.interactions(key), _keys.modules(key)],
    }
    stale = _together(stale, of_scan(key), of_shifts(adata, key), {"uns": [_keys.affected(key), _keys.enrichment(key)]})
    write(adata, remove=stale, uns={key: dict(content)}, **places)


def of_scan(key: str) -> dict[str, list[str]]:
    """Return where results that go by a scan are written by default, all of which a new scan makes stale."""
    return _together(of_ranking(key), of_clusters(key))


def _together(*places: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for some in places:
        for place, names in some.items():
            found[place] = [*found.get(place, []), *names]
    return found


def of_ranking(key: str) -> dict[str, list[str]]:
    """Return where ``tl.rank_genes`` writes by default."""
    return {
        "uns": [_keys.ranking(key)],
        "var": [_keys.impact_beyond(key), _keys.pval_adj(key)],
        "varm": [_keys.ranking(key)],
    }


def of_clusters(key: str) -> dict[str, list[str]]:
    """Return where ``tl.cluster_impact`` writes by default."""
    return {
        "uns": [_keys.cluster(key)],
        "obs": [_keys.cluster(key)],
        "obsm": [_keys.impact_pca(key), _keys.impact_umap(key)],
    }


def of_shifts(adata: AnnData, key: str) -> dict[str, list[str]]:
    """Return where ``tl.identity_shift`` has written, all of which another call makes stale."""
    try:
        params = read_params(adata, IDENTITY, key)
        labels = [str(label) for label in params["knockouts"]]
    except (KeyError, TypeError, ValueError):  # what is damaged no longer says where it has written
        return {"uns": [_keys.identity(key)]}
    moves = [_keys.shift(key, str(params["basis"]), label) for label in labels]
    return {"uns": [_keys.identity(key)], "obsm": [*moves, *(_keys.cell_identity(key, label) for label in labels)]}


def write(adata: AnnData, *, remove: Mapping[str, Sequence[str]] | None = None, **places: Mapping[str, Any]) -> None:
    """Write results, given as ``obs={name: values}``, ``layers={name: matrix}`` and so on, after removing others.

    The first write into a view makes a copy of it, which anndata does by itself; it is told to the user once.
    """
    if adata.is_view:
        say("This AnnData is a view of another; the results make it a copy of its own.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        for place, names in (remove or {}).items():
            for name in names:
                if name in getattr(adata, place):
                    del getattr(adata, place)[name]
        for place, entries in places.items():
            for name, value in entries.items():
                getattr(adata, place)[name] = value
