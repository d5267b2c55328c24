"""From a fitted AnnData to the knockouts of its cells: each cell through the model of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fitted import models_and_cells
from ._log import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from anndata import AnnData
    from scipy import sparse

    from ._fitted import Fitted
    from .models.assemblage import CellKnockouts

    Removals = Callable[[int, np.ndarray], np.ndarray]
    """(row of the AnnData, present genes) -> knockouts x genes removed, as positions among the present; -1 pads."""


def knockouts(
    adata: AnnData,
    fitted: Fitted,
    presence: sparse.csr_matrix,
    cells: np.ndarray,
    removals: Removals,
    *,
    description: str,
    device: str,
    dose: float = 1.0,
    batch_size: int | None = None,
) -> Iterator[tuple[int, CellKnockouts]]:
    """Yield (row of the AnnData, knockouts of that cell) for the chosen cells that have a model."""
    from .models import assemblage
    from .models._device import resolve_device

    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    place = resolve_device(device)

    def of_model(rows: np.ndarray) -> Removals:
        return lambda cell, present: removals(rows[cell], present)

    for number, rows in models_and_cells(adata, fitted, cells):
        results = assemblage.knockouts(
            fitted.affine(number),
            presence[rows],
            of_model(rows),
            device=place,
            dose=dose,
            batch_size=batch_size,
        )
        for result in progress(results, total=len(rows), description=description, unit="cell"):
            yield rows[result.cell], result
