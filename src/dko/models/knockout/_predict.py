"""Predicting profiles without any knockout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._cells import all_cells

if TYPE_CHECKING:
    from scipy import sparse

    from ._map import AnyMap


def predict(affine: AnyMap, presence: sparse.csr_matrix) -> np.ndarray:
    """Return the profiles before any knockout at the present genes, in the order of ``presence.data`` (float32).

    Predicted, or with a map of factors those observed.

    The arguments are those of :func:`dko.models.knockout.scan`.
    """
    return all_cells(affine, presence).profile
