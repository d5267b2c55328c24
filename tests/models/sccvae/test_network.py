"""The network and its loss."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dko.models.sccvae.config import PRESETS, Config
from dko.models.sccvae.network import Network, bandwidths_of, grouped_mmd, squared_distances
from dko.models.sccvae.sampler import Cells
from dko.models.sccvae.targets import full_mask

PAPER: Any = PRESETS["paper"][0]
TINY = Config(n_latent=6, hidden=(10, 7), code_hidden=(5,), coupling=0.5)


def network(code="neighbours", mask=None, own=None, **changed):
    torch.manual_seed(0)
    mask = torch.from_numpy(full_mask(6)) if mask is None else mask
    features = torch.randn(4, 3)
    own = torch.zeros(4, len(mask)) if own is None else own
    return Network(replace(TINY, code=code, **changed), torch.rand(9), mask, features, own).eval()


def groups_of(made, **how):
    return made.optimizer(replace(TINY, **how), 1e-3).param_groups


def test_edges_outside_the_mask_have_no_weight():
    """T1: of the graph, zeros on and below the diagonal, and wherever a prior has no edge; the mask is saved."""
    prior = torch.from_numpy(full_mask(6))
    prior[0, 3] = prior[1, 2] = False
    made = network(mask=prior)
    graph = made.graph()
    assert (graph[~prior] == 0).all() and (graph[prior] != 0).all()
    assert torch.equal(made.state_dict()["mask"].bool(), prior)


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_codes_strengths_edges_and_biases_do_not_decay(code):
    """T8: what no cell of the batch has anything to do with stays as it is."""
    made = network(code)
    of = {id(weight): group for group in groups_of(made, decay=0.1) for weight in group["params"]}
    assert len(of) == len(list(made.parameters()))
    for name, weight in made.named_parameters():
        assert of[id(weight)]["weight_decay"] == (0.1 if name.endswith("weight") and name != "own_weight" else 0.0)
        assert (of[id(weight)]["lr"] > 1e-3) == (name in {"codes", "strength"})


def test_the_published_sizes():
    made = Network(PAPER, torch.zeros(40), torch.from_numpy(full_mask(512)), torch.zeros(3, 50), torch.zeros(3, 512))
    widths = [layer.out_features for layer in made.modules() if isinstance(layer, torch.nn.Linear)]
    assert sorted(widths) == sorted([1024, 1024, 512, 512, 1024, 1024, 40, 1024, 1024, 512])
    assert made.graph()[made.mask.bool()].std().item() == pytest.approx(0.1, rel=0.02)
    assert (made.strength == 1).all()


@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_variables_are_what_the_equation_says(n, seed):
    """u = u A + z, and no dimension acts on an earlier one."""
    torch.manual_seed(seed)
    made = network(mask=torch.from_numpy(full_mask(n))).double()
    z, matrix, a = torch.randn(3, n).double(), made.propagation(), made.graph()
    torch.testing.assert_close(z @ matrix, z @ matrix @ a + z)
    assert torch.equal(matrix.tril(), torch.eye(n, dtype=torch.float64))


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
