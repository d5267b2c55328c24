"""From a fitted AnnData to the knockouts of its cells: each cell through the model of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _keys
from ._counts import recovered
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
from ._log import progress_of
from ._membership import models_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from ._fitted import Fitted
    from ._groups import Groups
    from .models.knockout import Engine, Map


class Part(NamedTuple):
    """Cells that one model speaks about.

    Attributes
    ----------
    affine
        The map that knockouts go through.
    rows
        Which rows of what was cut into parts.
    presence
        Their present genes, CSR float32 of ones.
    entries
        Which entries these are.
    residual
        What the predicted profile has to be multiplied by to be that of the cell before a knockout, one per entry; None
        where knockouts start from the predicted profile itself.
    """

    affine: Map
    rows: np.ndarray
    presence: sparse.csr_matrix
    entries: np.ndarray | slice
    residual: np.ndarray | None


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

    def parts(
        self, presence: sparse.csr_matrix, first: int = 0, cells: np.ndarray | None = None, *, typical: bool = False
    ) -> Iterator[Part]:
        """Yield, for each model, the rows of `presence` that it speaks about.

        `first` is the row of the AnnData that `presence` begins with; `cells`, a mask of its rows, leaves others out.
        Knockouts of `typical` cells start from the predicted profiles, whatever the cells have of their own.
        """
        models = self.models[first : first + presence.shape[0]]
        if cells is not None:
            models = np.where(cells, models, -1)
        for number in np.unique(models[models >= 0]):
            rows = np.flatnonzero(models == number)
            if len(rows) == presence.shape[0]:
                yield self._part(number, rows, presence, slice(None), typical)
                continue
            entries = np.flatnonzero(np.repeat(models == number, np.diff(presence.indptr)))
            yield self._part(number, rows, presence[rows], entries, typical)

    def _part(
        self, number: int, rows: np.ndarray, values: sparse.csr_matrix, entries: np.ndarray | slice, typical: bool
    ) -> Part:
        affine = self.fitted.effects(number)
        if not self.fitted.observed:
            return Part(affine, rows, values, entries, None)
        from .models.knockout import presence_of

        presence = presence_of(values)
        residual = None if typical else self._residual(number, affine, presence, values)
        return Part(affine, rows, presence, entries, residual)

    def _residual(self, number: int, affine: Map, presence: sparse.csr_matrix, values: sparse.csr_matrix) -> np.ndarray:
        from .models.knockout import predict
        from .models.total import residual

        predicted = predict(affine, presence)
        counts, known = recovered(values)
        found = residual(counts, predicted, float(self.fitted.weights[_keys.VARIATION][number]))
        if known.all():
            return found
        # In the other cells, what is noise cannot be told any more.
        whole = profiles(values).data / np.maximum(predicted, np.finfo(np.float32).tiny)
        return np.where(np.repeat(known, np.diff(values.indptr)), found, whole)


def open_task(data: AnnData | MuData, key: str, mod: str, groups: Groups = None, *, groupby: str | None = None) -> Task:
    """Find the model of an AnnData or MuData, and the cells that a user has chosen.

    Names of groups are those of the column `groupby`, by default that of the fit.
    """
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    require_assemblages(fitted)
    columns = gene_columns(adata, fitted)
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
