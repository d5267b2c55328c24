from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from dko.models.total._regression import regression
from dko.models.total._signal import signal
from dko.models.total._slopes import slopes


def test_of_cells_dealt_anew_it_is_uniform(relative, independent_counts):
    rng = np.random.default_rng(0)
    cells = regression(*relative(independent_counts(300, 200, rng)), counts=True)
    p_values = signal(slopes(cells, rng.permutation(300)).z, cells, rng)
    assert p_values.dtype == np.float64 and p_values.shape == (200,)
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_of_independent_genes_it_is_uniform(relative, independent_counts):
    rng = np.random.default_rng(0)
    cells = regression(*relative(independent_counts(300, 200, rng)), counts=True)
    assert kstest(signal(slopes(cells).z, cells, rng), "uniform").pvalue > 0.01


def test_two_genes_that_go_together_are_found(relative, independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(300, 200, rng)
    counts[:, 7] = rng.poisson(1 + counts[:, 3])
    cells = regression(*relative(counts), counts=True)
    p_values = signal(slopes(cells).z, cells, rng)
    assert p_values[[3, 7]].tolist() == [1 / 401] * 2
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
