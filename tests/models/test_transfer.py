from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import dko
from dko._core.process import ahead
from dko.models import knockout
from dko.models._transfer import dense, in_blocks

from ..conftest import PERTURB_SEQ
from .knockout.oracle import make_cells

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("most", [1, 3, 4, 50])
@pytest.mark.parametrize("n", [0, 1, 17])
def test_blocks_that_are_too_large_are_halved(most, n):
    done: list[int] = []

    def work(some):
        if some.stop - some.start > most:
            raise torch.cuda.OutOfMemoryError
        done.extend(range(n)[some])

    in_blocks(work, n, 16)
    assert done == list(range(n))


def test_too_little_memory_for_one_is_said():
    def work(some):
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(MemoryError, match="not the memory for a single knockout; choose device='cpu'"):
        in_blocks(work, 3, 2)


@pytest.mark.parametrize("model", ["dko", "sccvae"])
def test_fits_that_read_ahead_are_those_of_cells_in_memory(model):
    how: dict[str, Any]
    if model == "dko":
        adata, how = dko.datasets.grn(200, 30, rng=1), {"max_steps": 40, "effects": "direct", "progress": False}
    else:
        adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)
        how = {**PERTURB_SEQ, "max_steps": 20, "n_members": 1}
    histories, threads = [], threading.active_count()
    for budget in (2**28, 10_000):
        with dko.settings.override(memory_budget=budget):
            dko.tl.fit(adata, device="cpu", log1p=model == "sccvae", **how)
        histories.append(dko.get.history(adata))
        assert threading.active_count() == threads
    np.testing.assert_array_equal(*histories)


@pytest.mark.gpu
@CUDA
def test_rows_reach_a_gpu_as_they_are():
    matrix = sparse.random(1_000, 300, 0.1, format="csr", dtype=np.float32, random_state=0)
    blocks = ahead(dense(matrix[start : start + 100], torch.device("cuda")) for start in range(0, 1_000, 100))
    np.testing.assert_array_equal(torch.cat([2 * block for block in blocks]).cpu(), 2 * matrix.toarray())


@pytest.mark.gpu
@CUDA
def test_a_gpu_with_too_little_memory_takes_fewer_knockouts_at_a_time():
    from dko.models.knockout import torch as twin

    any_map, cells = make_cells("factors", 3_000, 400, 0.5, np.random.default_rng(0), 0.5)
    how: Any = {"wanted": np.ones(400, dtype=bool), "downstream": True}
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**28) / total)
    try:
        found = twin.scan(any_map, cells, device=torch.device("cuda"), **how)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(found, knockout.scan(any_map, cells, **how), atol=2e-6)
