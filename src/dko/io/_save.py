"""Saving a fitted model to a file of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys
from .._data import unwrap
from .._fitted import read_fitted
from .._verb import verb
from ._atomic import atomic
from ._target import check_target

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

FORMAT = "dko-model-1"


@verb
def save(adata: AnnData | MuData, path: str | Path, *, key: str = _keys.DEFAULT, mod: str = "rna") -> None:
    """Save a fitted model as plain arrays (``.npz``), without the cells.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    path
        File to write; by custom it ends in ``.npz``. An older file is replaced once the new one is complete, and its
        mode stays; nothing but a regular file is replaced. Symbolic links are followed.
    key, mod
        Where the fit is.

    Raises
    ------
    KeyError
        No fit.
    OSError
        A folder, or anything else that is no file, has this name; the folder to write to does not exist or is full.
    """
    check_target(path)
    target = unwrap(adata, mod)
    fitted = read_fitted(target, key)
    tables = {name: target.uns[key][name] for name in (_keys.HISTORY, _keys.PERTURBATIONS) if name in target.uns[key]}
    text = {
        "format": FORMAT,
        "params": fitted.params,
        "genes": fitted.genes,
        "groups": fitted.groups,
        "targets": fitted.targets,
        **{name: {column: values.tolist() for column, values in table.items()} for name, table in tables.items()},
    }
    arrays: dict[str, Any] = {"text": json.dumps(text, default=_plain), **fitted.weights}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _plain(value: object) -> object:
    """Turn numpy scalars and arrays, as they come back from h5ad files, into what JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved.")
