"""T2: the causal model of the latent space is solved exactly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dko.models.sccvae import propagation


def influence(n, seed, dtype=torch.float32):
    """Strictly upper triangular, of entries as they are at the start of training."""
    drawn = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return (drawn * 0.5 / n**0.5).triu(1)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_product_is_the_inverse_and_the_triangular_solve(n):
    a = influence(n, n)
    found, eye = propagation(a), torch.eye(n)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.linalg.inv(eye - a), atol=1e-5, rtol=1e-5)
    solved = torch.linalg.solve_triangular(eye - a, eye, upper=True)
    torch.testing.assert_close(found, solved, atol=1e-5, rtol=1e-5)


@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_variables_are_what_the_equation_says(n, seed):
    """u = u A + z, and no dimension acts on an earlier one."""
    a = influence(n, seed, torch.float64)
    z = torch.randn(3, n, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    matrix = propagation(a)
    torch.testing.assert_close(z @ matrix, z @ matrix @ a + z)
    assert torch.equal(matrix.tril(), torch.eye(n, dtype=torch.float64))


def test_without_edges_nothing_is_propagated():
    assert torch.equal(propagation(torch.zeros(5, 5)), torch.eye(5))


def test_a_chain_passes_effects_on():
    """Long paths count: the last of ten dimensions hears of the first."""
    a = torch.diag(torch.full((9,), 0.5), diagonal=1)
    assert propagation(a)[0, 9] == pytest.approx(0.5**9)


def test_gradients_are_those_of_the_inverse():
    a = influence(6, 0, torch.float64).requires_grad_()
    mask = torch.ones(6, 6, dtype=torch.float64).triu(1)
    found = torch.autograd.grad(propagation(a * mask).square().sum(), a)[0]
    eye = torch.eye(6, dtype=torch.float64)
    expected = torch.autograd.grad(torch.linalg.inv(eye - a * mask).square().sum(), a)[0]
    torch.testing.assert_close(found, expected)
