"""Saving a fitted model to a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.verb import verb
from ._atomic import atomic
from ._target import check_target
from ._text import spelled

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

# Name of the entry that is no array.
TEXT = "text"


@verb
def save(adata: AnnData | MuData, path: str | Path, *, key: str = keys.DEFAULT, mod: str = "rna") -> None:
    """Save a fitted model as plain arrays (``.npz``), without the cells.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    path
        File to write; by custom it ends in ``.npz``. An older file is replaced once the new one is complete, and its
        mode stays; nothing but a regular file is replaced. Symbolic links are followed.
    %(fit)s

    Raises
    ------
    KeyError
        No fit.
    OSError
        A folder, or anything else that is no file, has this name; the folder to write to does not exist or is full.
    ValueError
        What is there is not as the fit has left it.
    """
    check_target(path)
    fitted = read_fitted(unwrap(adata, mod), key)
    tables = {name: fitted.table(name) for name in (keys.HISTORY, keys.PERTURBATIONS) if name in fitted.tables}
    content = {
        keys.PARAMS: fitted.params,
        keys.GENES: fitted.genes,
        keys.GROUPS: fitted.groups,
        keys.TARGETS: fitted.targets,
        **{name: {column: values.tolist() for column, values in table.items()} for name, table in tables.items()},
    }
    arrays: dict[str, Any] = {TEXT: spelled(content, fitted.weights), **fitted.weights}
    with atomic(path) as temporary, temporary.open("wb") as file:
        # Not compressed, of which numbers that have been learned become hardly smaller.
        np.savez(file, **arrays)
