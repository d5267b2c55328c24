"""Rows of a CSR matrix as dense tensors: sparse on the way to the device, dense only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse


def dense_rows(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    """Return a matrix as a dense float32 tensor on `device`."""
    ends = torch.from_numpy(matrix.indptr).to(device)
    row = torch.repeat_interleave(ends.diff(), output_size=matrix.nnz)
    column = torch.from_numpy(matrix.indices).to(device)
    dense = torch.zeros(matrix.shape, dtype=torch.float32, device=device)
    dense[row, column] = torch.from_numpy(matrix.data).to(device)
    return dense


def rows_on(matrix: sparse.csr_matrix, device: torch.device) -> Callable[[np.ndarray], torch.Tensor]:
    """Return a function from numbers of rows to these rows, dense, on `device`: at once if memory allows."""
    if 4 * matrix.shape[0] * matrix.shape[1] > settings.memory_budget:
        return lambda rows: dense_rows(matrix[rows], device)
    dense = dense_rows(matrix, device)
    return lambda rows: dense[torch.from_numpy(rows).to(device)]


def loader(
    matrix: sparse.csr_matrix, batch_size: int, device: torch.device
) -> Callable[[np.ndarray | None], Iterator[torch.Tensor]]:
    """Return a function that yields the rows, in a given order or as they come, dense, `batch_size` at a time."""
    gather = rows_on(matrix, device)

    def load(order: np.ndarray | None = None) -> Iterator[torch.Tensor]:
        rows = np.arange(matrix.shape[0]) if order is None else order
        return (gather(rows[start : start + batch_size]) for start in range(0, len(rows), batch_size))

    return load
