"""From a fitted AnnData to the knockouts of its cells: each cell through the model of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._data import profiles, unwrap
from ._fitted import (
    aligned_layer,
    gene_columns,
    presence_blocks,
    read_fitted,
    read_presence,
    require_assemblages,
)
from ._groups import select_cells
from ._log import logger, progress_of
from ._membership import models_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from ._fitted import Fitted
    from ._groups import Groups
    from .models.knockout import AnyMap, Engine


class Part(NamedTuple):
    """Cells that one model speaks about.

    Attributes
    ----------
    affine
        The map that knockouts go through.
    rows
        Which rows of what was cut into parts.
    presence
        What knockouts start from, CSR float32: ones at the present genes, or with a map of factors their observed
        relative profile.
    entries
        Which entries these are.
    """

    affine: AnyMap
    rows: np.ndarray
    presence: sparse.csr_matrix
    entries: np.ndarray | slice


@dataclass(frozen=True)
class Task:
    """Cells to knock out in, and the model that predicts them.

    Attributes
    ----------
    adata
        What was opened.
    fitted
        Its model.
    columns
        Where the genes of the model are in ``var_names``.
    models
        Number of the model of each chosen cell; -1 for cells that are not chosen, or have no model.
    """

    adata: AnnData
    fitted: Fitted
    columns: np.ndarray
    models: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """The chosen cells that have a model, as a mask."""
        return self.models >= 0

    @cached_property
    def presence(self) -> sparse.csr_matrix:
        """Which genes of the model are present in which cell, as `read_presence` has it; read when first asked for."""
        return read_presence(self.adata, self.fitted)

    def blocks(self, batch_size: int | None) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield `presence` in blocks of cells that fit into memory, or of `batch_size`, with the row of the first."""
        yield from presence_blocks(self.adata, self.fitted, batch_size)

    def layer(self, values: np.ndarray) -> sparse.csr_matrix:
        """Put one value per entry of `presence` (NaN: none) into a matrix like X."""
        return aligned_layer(values, self.presence, self.columns, self.adata.n_vars)

    def parts(self, presence: sparse.csr_matrix, first: int = 0, cells: np.ndarray | None = None) -> Iterator[Part]:
        """Yield, for each model, the rows of `presence` that it speaks about.

        `first` is the row of the AnnData that `presence` begins with; `cells`, a mask of its rows, leaves others out.
        """
        models = self.models[first : first + presence.shape[0]]
        if cells is not None:
            models = np.where(cells, models, -1)
        for number in np.unique(models[models >= 0]):
            rows = np.flatnonzero(models == number)
            if len(rows) == presence.shape[0]:
                yield self._part(number, rows, presence, slice(None))
                continue
            entries = np.flatnonzero(np.repeat(models == number, np.diff(presence.indptr)))
            yield self._part(number, rows, presence[rows], entries)

    def _part(self, number: int, rows: np.ndarray, values: sparse.csr_matrix, entries: np.ndarray | slice) -> Part:
        return Part(self.fitted.effects(number), rows, profiles(values) if self.fitted.total else values, entries)


def open_task(data: AnnData | MuData, key: str, mod: str, groups: Groups = None, *, groupby: str | None = None) -> Task:
    """Find the model of an AnnData or MuData, and the cells that a user has chosen.

    Names of groups are those of the column `groupby`, by default that of the fit.
    """
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    require_assemblages(fitted)
    columns = gene_columns(adata, fitted)
    if fitted.outdated:
        logger.warning(
            "The model in adata.uns[%r] was fitted with version 0.1.0, whose effects are too small; run "
            "dko.tl.fit(adata, key_added=%r) again.",
            key,
            key,
        )
    chosen = select_cells(data, mod, groupby or fitted.params.get("groupby"), groups)
    return Task(adata, fitted, columns, models_of(adata, fitted, chosen))


def progress_blocks(task: Task, batch_size: int | None, description: str) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield the blocks of a task, and show how many cells are done."""
    with progress_of(task.adata.n_obs, description=description, unit="cell") as advance:
        for first, block in task.blocks(batch_size):
            yield first, block
            advance(block.shape[0])


def engine_on(device: str) -> Engine:
    """Return what knocks out on the device that a user has named."""
    from .models._device import resolve_device
    from .models.knockout import engine

    return engine(resolve_device(device))
