from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dko.models.sccvae.config import Config
from dko.models.sccvae.network import bandwidths_of, grouped_mmd, squared_distances
from dko.models.sccvae.sampler import Cells


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def naive_mmd(predicted, measured, bandwidths):
    """Mean kernel of all pairs, cell by cell."""

    def kernel(a, b):
        return sum(np.exp(-((a - b) ** 2).sum() / h) for h in bandwidths)

    def mean(left, right):
        return np.mean([[kernel(a, b) for b in right] for a in left])

    return mean(predicted, predicted) + mean(measured, measured) - 2 * mean(predicted, measured)


@given(
    groups=st.integers(1, 3),
    n=st.integers(1, 5),
    genes=st.integers(1, 4),
    seed=st.integers(0, 1_000),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_grouped_mmd_is_the_double_loop(groups, n, genes, seed, scale):
    """T10, 5 x 4 points among others."""
    predicted, measured = scale * drawn(groups, n, genes, seed=seed), drawn(groups, n, genes, seed=seed + 1)
    bandwidths = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    found = grouped_mmd(predicted, measured, bandwidths)
    expected = [naive_mmd(p, m, bandwidths.numpy()) for p, m in zip(predicted.numpy(), measured.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    torch.testing.assert_close(found, grouped_mmd(measured, predicted, bandwidths))
    assert (found > -1e-9).all()


MEMORY = """
import resource
import torch
from dko.models.sccvae.network import grouped_mmd
n, genes = 256, 20_000
predicted = torch.randn(1, n, genes, requires_grad=True)
measured = torch.randn(1, n, genes)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grouped_mmd(predicted, measured, torch.tensor([10_000.0, 40_000.0])).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, float(predicted.grad.abs().sum()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are those of Linux")
def test_mmd_holds_nothing_of_cells_by_cells_by_genes():
    """T10: differences of 512 cells at 20,000 genes would be 21 GB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    kilobytes, gradient = run.stdout.split()
    assert float(gradient) > 0
    assert int(kilobytes) < 2**20 // 2


def test_distances_of_cells_far_from_the_origin_keep_their_digits():
    cells = drawn(2, 6, 50, dtype=torch.float32) * 0.1 + 100
    exact = torch.cdist(cells.double(), cells.double()) ** 2
    torch.testing.assert_close(squared_distances(cells).double(), exact, rtol=1e-3, atol=1e-4)


def test_bandwidths_are_multiples_of_the_median_distance_of_control_cells():
    values = sparse.csr_matrix(np.array([[0], [1], [3], [9]], dtype=np.float32))
    cells, rng = Cells(values, np.array([-1, -1, -1, 0]), np.eye(1, dtype=bool)), np.random.default_rng(0)
    found = bandwidths_of(Config(), cells, rng)
    torch.testing.assert_close(found, 4.0 * torch.tensor([0.125, 0.25, 0.5, 1, 2, 4]))
    same = Cells(sparse.csr_matrix(np.ones((4, 1), dtype=np.float32)), cells.perturbation, cells.members)
    assert (bandwidths_of(Config(), same, rng) > 0).all()
    assert bandwidths_of(Config(bandwidths=(2.0,)), cells, rng).tolist() == [2.0]
