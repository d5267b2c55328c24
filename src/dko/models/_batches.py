"""Rows of a CSR matrix as dense tensors: sparse on the way to the device, dense only there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from scipy import sparse


def dense_rows(matrix: sparse.csr_matrix, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Return rows `start` to `stop` as a dense float32 tensor (rows x columns) on `device`."""
    first, last = matrix.indptr[start], matrix.indptr[stop]
    ends = torch.from_numpy(matrix.indptr[start : stop + 1]).to(device)
    row = torch.repeat_interleave(ends.diff(), output_size=int(last - first))
    column = torch.from_numpy(matrix.indices[first:last]).to(device)
    dense = torch.zeros(stop - start, matrix.shape[1], dtype=torch.float32, device=device)
    dense[row, column] = torch.from_numpy(matrix.data[first:last]).to(device)
    return dense


def loader(
    matrix: sparse.csr_matrix, batch_size: int, device: torch.device
) -> Callable[[np.ndarray | None], Iterator[torch.Tensor]]:
    """Return a function that yields the rows, in a given order, in dense blocks of `batch_size` rows.

    What fits the memory budget of the settings is made dense once, the rest block by block at each pass.
    """
    if 4 * matrix.shape[0] * matrix.shape[1] > settings.memory_budget:
        return partial(batches, matrix, batch_size, device)
    dense = dense_rows(matrix, 0, matrix.shape[0], device)

    def load(order: np.ndarray | None = None) -> Iterator[torch.Tensor]:
        if order is None:
            return iter(dense.split(batch_size))
        return (dense[rows] for rows in torch.from_numpy(order).to(device).split(batch_size))

    return load


def rows_on(matrix: sparse.csr_matrix, device: torch.device) -> Callable[[np.ndarray], torch.Tensor]:
    """Return a function from numbers of rows to these rows, dense, on `device`.

    What fits the memory budget of the settings is made dense once, the rest row by row when it is asked for.
    """
    if 4 * matrix.shape[0] * matrix.shape[1] > settings.memory_budget:

        def gather(rows: np.ndarray) -> torch.Tensor:
            return dense_rows(matrix[rows], 0, len(rows), device)

        return gather
    dense = dense_rows(matrix, 0, matrix.shape[0], device)
    return lambda rows: dense[torch.from_numpy(rows).to(device)]


def batches(
    matrix: sparse.csr_matrix, batch_size: int, device: torch.device, order: np.ndarray | None = None
) -> Iterator[torch.Tensor]:
    """Yield all rows, in the given order, in dense blocks of `batch_size` rows."""
    rows = matrix if order is None else matrix[order]
    for start in range(0, rows.shape[0], batch_size):
        yield dense_rows(rows, start, min(start + batch_size, rows.shape[0]), device)
