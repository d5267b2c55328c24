from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control, kstest

from dko.models.total._regression import regression
from dko.models.total._signal import signal
from dko.models.total._slopes import slopes


def test_of_cells_dealt_anew_it_is_uniform(relative, independent_counts):
    rng = np.random.default_rng(0)
    cells = regression(*relative(independent_counts(300, 200, rng)), counts=True)
    p_values = signal(slopes(cells, rng.permutation(300)).z, cells, rng)
    assert p_values.dtype == np.float64 and p_values.shape == (200,)
    assert kstest(p_values, "uniform").pvalue > 0.01


def lacking(n_cells, n_genes, rng):
    """Cells that lack some of their genes altogether and have many counts of the others."""
    counts = rng.poisson(20 * rng.lognormal(0, 0.5, (n_cells, n_genes)))
    return counts * (rng.random(counts.shape) < 0.6)


@pytest.mark.parametrize("kind", ["seldom sampled", "lacking", "few cells"])
def test_of_independent_genes_as_many_are_small_as_should_be(relative, independent_counts, kind):
    rng, p_values = np.random.default_rng(0), []
    for _ in range(6):
        counts = (lacking if kind == "lacking" else independent_counts)(60 if kind == "few cells" else 300, 200, rng)
        cells = regression(*relative(counts), counts=True)
        p_values.append(signal(slopes(cells).z, cells, rng))
    # What one gene shares with another by chance is in the p-values of both: they are not as many draws of their own.
    for rate, lowest, highest in [(0.01, 0.001, 0.025), (0.05, 0.025, 0.09), (0.5, 0.4, 0.6)]:
        assert lowest < np.mean(np.array(p_values) < rate) < highest


def test_two_genes_that_go_together_are_found(relative, independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(300, 200, rng)
    counts[:, 7] = rng.poisson(1 + counts[:, 3])
    cells = regression(*relative(counts), counts=True)
    p_values = signal(slopes(cells).z, cells, rng)
    assert p_values[[3, 7]].max() < 1e-6
    assert np.median(np.delete(p_values, [3, 7])) > 0.3


def test_the_same_with_the_same_generator(relative, independent_counts):
    cells = regression(*relative(independent_counts(50, 20, np.random.default_rng(0))), counts=True)
    first, again, other = (signal(slopes(cells).z, cells, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def cells_of_unequal_depth(rng, n_cells=600, n_genes=400):
    level = rng.lognormal(0, 0.7, n_genes)
    depths = 2_000 * rng.lognormal(0, 0.6, (n_cells, 1))
    return rng.poisson(depths * level / level.sum() * rng.lognormal(0, 0.5, (n_cells, n_genes)))


def test_of_independent_genes_is_uniform_where_depth_varies(relative):
    rng = np.random.default_rng(1)
    cells = regression(*relative(cells_of_unequal_depth(rng)), counts=True)
    assert kstest(signal(slopes(cells).z, cells, rng), "uniform").pvalue > 0.01


def test_it_finds_pairs_where_depth_varies(relative):
    rng = np.random.default_rng(2)
    counts = cells_of_unequal_depth(rng)
    for gene in range(0, 20, 2):
        counts[:, gene + 1] = rng.poisson(0.5 + counts[:, gene])
    cells = regression(*relative(counts), counts=True)
    assert np.median(signal(slopes(cells).z, cells, rng)[:20]) < 0.01


def test_genes_that_no_cell_has_change_nothing(relative, independent_counts):
    counts = independent_counts(300, 100, np.random.default_rng(0))
    alone = slopes(regression(*relative(counts), counts=True))
    wider = regression(*relative(np.column_stack([counts, np.zeros((300, 50))])), counts=True)
    found = slopes(wider)
    np.testing.assert_allclose(found.z[:100, :100], alone.z, rtol=1e-4, atol=1e-4)
    assert not found.z[100:].any() and not found.z[:, 100:].any()
    p_values = signal(found.z, wider, np.random.default_rng(0))
    assert (p_values[100:] == 1).all()
    assert kstest(p_values[:100], "uniform").pvalue > 0.01


def test_of_normalised_values_depth_is_no_signal():
    rng = np.random.default_rng(3)
    counts = cells_of_unequal_depth(rng, 500, 300)
    shares = sparse.csr_matrix((counts / counts.sum(1, keepdims=True)).astype(np.float32))
    cells = regression(shares, np.full(500, 1e4), counts=False)
    p_values = signal(slopes(cells).z, cells, rng)
    assert (false_discovery_control(p_values) < 0.05).sum() == 0


def test_a_single_strong_target_is_enough(relative, independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(800, 300, rng)
    for gene in range(0, 40, 2):
        counts[:, gene + 1] = rng.poisson(counts[:, gene + 1] / 2 + counts[:, gene] / 4)
    cells = regression(*relative(counts), counts=True)
    rates = false_discovery_control(signal(slopes(cells).z, cells, rng))
    assert (rates[:40] < 0.05).mean() > 0.9
    assert (rates[40:] < 0.05).mean() < 0.05
