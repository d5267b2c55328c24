"""Writing results into an AnnData: everything or nothing, at the end, by one thread at a time, also into a view."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any

import pandas as pd
from anndata import AnnData, ImplicitModificationWarning

from .._compat import modalities_apart
from .cells import unwrap
from .messages import say
from .process import uninterrupted
from .results import after_fit

if TYPE_CHECKING:
    from .._typing import Iterator, Mapping, MuData, Sequence


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
    """Write a model into ``uns[key]``, and remove what was predicted with the model before it."""
    with writing():
        write(adata, remove=after_fit(adata, key), uns={key: dict(content)}, **places)


def write(adata: AnnData, *, remove: Mapping[str, Sequence[str]] | None = None, **places: Mapping[str, Any]) -> None:
    """Write results, given as ``obs={name: values}`` and so on, after removing others: all of them or nothing.

    A value that is a function is given what is there already (or None) and returns what takes its place: what several
    threads add to is read and written by one at a time. The first write into a view makes a copy, and says so.
    """
    with writing():
        found = {
            place: {name: value(getattr(adata, place).get(name)) if callable(value) else value for name, value in some}
            for place, some in ((place, entries.items()) for place, entries in places.items())
        }
        if adata.is_view:
            _make_actual(adata, found)
        before = {place: _content(adata, place) for place in {**(remove or {}), **found}}
        try:
            _put(adata, remove or {}, found)
        except BaseException:
            _restore(adata, before)
            raise


@contextmanager
def writing() -> Iterator[None]:
    """Let one thread at a time write, and put off Ctrl-C until it has."""
    with uninterrupted(), _LOCK:
        yield


_LOCK = RLock()
if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread writes would wait for it forever.
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def _make_actual(view: AnnData, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Make a view a copy, unless it would not take the results."""
    _put(AnnData(obs=view.obs[[]].copy(), var=view.var[[]].copy()), {}, found)
    say("This AnnData was a view of another; to hold the results it has become a copy.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        view.obs = view.obs.copy()


def _put(adata: AnnData, remove: Mapping[str, Sequence[str]], found: Mapping[str, Mapping[str, Any]]) -> None:
    for place, names in remove.items():
        for name in names:
            if name in getattr(adata, place):
                del getattr(adata, place)[name]
    for place, entries in found.items():
        for name, value in entries.items():
            getattr(adata, place)[name] = value


def _content(adata: AnnData, place: str) -> Any:
    """Return what is there, without a copy of the values; anndata 0.13 lists X among the layers, as None."""
    entries = getattr(adata, place)
    if isinstance(entries, pd.DataFrame):
        return entries.copy(deep=False)
    return {name: value for name, value in entries.items() if name is not None}


def _restore(adata: AnnData, before: Mapping[str, Any]) -> None:
    for place, entries in before.items():
        if isinstance(entries, pd.DataFrame):
            setattr(adata, place, entries)
            continue
        now = getattr(adata, place)
        for name in [name for name in now if name is not None]:
            del now[name]
        now.update(entries)
