"""Values on their way to a device, and work on as many at a time as it has memory for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from scipy import sparse


def dense(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    """Return a matrix as a dense float32 tensor, sparse on its way to the device.

    To CUDA it goes from page-locked memory in a stream of its own, beside what is computed there.
    """
    if device.type != "cuda":
        return _filled(matrix, device, lambda part: torch.from_numpy(part).to(device))
    with torch.cuda.stream(stream := torch.cuda.Stream(device)):
        made = _filled(matrix, device, lambda part: torch.from_numpy(part).pin_memory().to(device, non_blocking=True))
    stream.synchronize()
    # Or its memory could be given away while the other stream still reads it.
    made.record_stream(torch.cuda.current_stream(device))
    return made


def _filled(
    matrix: sparse.csr_matrix, device: torch.device, there: Callable[[np.ndarray], torch.Tensor]
) -> torch.Tensor:
    row = torch.repeat_interleave(there(matrix.indptr).diff(), output_size=matrix.nnz)
    found = torch.zeros(matrix.shape, dtype=torch.float32, device=device)
    found[row, there(matrix.indices)] = there(matrix.data)
    return found


def room_on(device: torch.device) -> int:
    """Return how many bytes temporary values may take: a quarter of what a CUDA device has left, else the budget."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else settings.memory_budget


def in_blocks(work: Callable[[slice], object], n: int, step: int) -> None:
    """Do `work` on `n` things, `step` at a time, or half as many from where the device has not the memory for these.

    Work that was cut short is done again, from its beginning.
    """
    first = 0
    while first < n:
        if _had_memory(work, slice(first, min(first + step, n))):
            first += step
        elif step == 1:
            raise MemoryError("The device has not the memory for a single knockout; choose device='cpu'.")
        else:
            step = (step + 1) // 2
            # Not before the error is forgotten, as it holds what the work has made.
            torch.cuda.empty_cache()


def _had_memory(work: Callable[[slice], object], some: slice) -> bool:
    try:
        work(some)
    except torch.cuda.OutOfMemoryError:
        return False
    return True
