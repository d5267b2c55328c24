from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dko.models.sccvae.loss import (
    effect_distance,
    gaussian_kl,
    grouped_mmd,
    median_bandwidths,
    pair_distance,
    squared_distances,
)


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
from dko.models.sccvae import grouped_mmd
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


def test_divergence_is_that_of_torch():
    mean, variance = drawn(3, 4, 5), drawn(3, 4, 5, seed=1).exp()
    normal = torch.distributions.Normal
    prior = normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), prior).mean(dim=-1)
    torch.testing.assert_close(gaussian_kl(mean, variance), expected)


def test_bandwidths_are_multiples_of_the_median_distance():
    cells = torch.tensor([[0.0], [1.0], [3.0]])
    torch.testing.assert_close(median_bandwidths(cells, (0.5, 2.0)), torch.tensor([2.0, 8.0]))
    assert len(median_bandwidths(cells)) == 6
    assert (median_bandwidths(torch.ones(3, 2)) > 0).all()


def test_distance_of_effects_does_not_punish_cells_for_differing():
    before, effect = drawn(2, 7, 3), drawn(2, 3, seed=1)
    every = torch.ones_like(effect)
    after = before + effect[:, None]
    torch.testing.assert_close(effect_distance(before, after, effect, every), torch.zeros(2).double())
    assert (pair_distance(after, before.flip(1)) > 0.1).all()
    twice = effect_distance(before, before + 2 * effect[:, None], effect, every)
    torch.testing.assert_close(twice, effect.square().mean(dim=-1))
