"""From a fitted AnnData to the knockouts of its cells: each cell through the model of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ._data import unwrap
from ._fitted import aligned_layer, gene_columns, models_and_cells, read_fitted, read_presence, select_cells
from ._log import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from ._fitted import Fitted, Groups
    from .models.assemblage import CellKnockouts

    Removals = Callable[[int, np.ndarray], np.ndarray]
    """(row of the AnnData, present genes) -> knockouts x genes removed, as positions among the present; -1 pads."""


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
    cells
        The chosen cells that have a model, as a mask.
    """

    adata: AnnData
    fitted: Fitted
    columns: np.ndarray
    cells: np.ndarray

    @cached_property
    def presence(self) -> sparse.csr_matrix:
        """Which genes of the model are present in which cell, CSR float32 of ones; read when first asked for."""
        return read_presence(self.adata, self.fitted)

    def layer(self, values: np.ndarray) -> sparse.csr_matrix:
        """Put one value per entry of `presence` (NaN: none) into a matrix like X."""
        return aligned_layer(values, self.presence, self.columns, self.adata.n_vars)

    def knockouts(
        self,
        removals: Removals,
        *,
        description: str,
        device: str,
        cells: np.ndarray | None = None,
        dose: float = 1.0,
        batch_size: int | None = None,
    ) -> Iterator[tuple[int, CellKnockouts]]:
        """Yield (row of the AnnData, knockouts of that cell) for the cells of the task, or for some of them."""
        from .models import assemblage
        from .models._device import resolve_device

        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1, the number of cells to compute at a time.")
        place = resolve_device(device)

        def of_model(rows: np.ndarray) -> Removals:
            return lambda cell, present: removals(rows[cell], present)

        chosen = self.cells if cells is None else self.cells & cells
        for number, rows in models_and_cells(self.adata, self.fitted, chosen):
            results = assemblage.knockouts(
                self.fitted.affine(number),
                self.presence[rows],
                of_model(rows),
                device=place,
                dose=dose,
                batch_size=batch_size,
            )
            for result in progress(results, total=len(rows), description=description, unit="cell"):
                yield rows[result.cell], result


def open_task(data: AnnData | MuData, key: str, mod: str, groups: Groups = None) -> Task:
    """Find the model of an AnnData or MuData, and the cells that a user has chosen."""
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    columns = gene_columns(adata, fitted)
    chosen = select_cells(adata, fitted.params.get("groupby"), groups)
    cells = np.zeros(adata.n_obs, dtype=bool)
    for _, rows in models_and_cells(adata, fitted, chosen):
        cells[rows] = True
    return Task(adata, fitted, columns, cells)
