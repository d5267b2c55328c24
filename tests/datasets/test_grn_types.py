from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dko.datasets import grn_knockout, grn_types


def one_by_one(adata, cell, removed=()):
    """Return the levels of one cell, a gene and an edge at a time, by the formula of the docstring."""
    network, half = adata.varp["network"].toarray(), adata.var["half_response"].to_numpy()
    factor = adata.layers["production"][[cell]].toarray()[0].astype(float)
    levels: dict[int, float] = {}
    for gene in range(adata.n_vars):
        production = 0.0 if network[:, gene].any() else 1.0
        for source in map(int, np.flatnonzero(network[:, gene])):
            x, h, k = levels[source], half[source], network[source, gene]
            production += k * x**2 / (h**2 + x**2) if k > 0 else -k * h**2 / (h**2 + x**2)
        levels[gene] = 0.0 if gene in removed else factor[gene] * production
    return np.array(list(levels.values()))


def profile(levels):
    return levels / levels.sum()


def downstream(adata, gene):
    """Return which genes a gene acts on, directly or through others, and the gene itself."""
    edges, found = adata.varp["network"].toarray() != 0, np.arange(adata.n_vars) == gene
    while (more := found | edges[found].any(axis=0)).sum() > found.sum():
        found = more
    return found


def test_levels_are_those_of_the_formula(typed):
    truth = typed.layers["truth"].toarray()
    np.testing.assert_allclose(truth[:5], [one_by_one(typed, cell) for cell in range(5)], rtol=1e-6)
    np.testing.assert_allclose(typed.var["half_response"], truth.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(grn_knockout(typed, []).toarray(), truth / truth.sum(axis=1, keepdims=True), rtol=1e-5)


@given(removed=st.lists(st.integers(0, 24), min_size=1, max_size=3, unique=True), cell=st.integers(0, 89))
def test_knockouts_are_those_of_the_formula(typed, removed, cell):
    after = grn_knockout(typed, [f"gene_{gene}" for gene in removed], cells=f"cell_{cell}").toarray()[0]
    np.testing.assert_allclose(after, profile(one_by_one(typed, cell, removed)), rtol=1e-9)


@pytest.mark.parametrize("gene", [0, 5, 20])
def test_a_knockout_changes_what_is_downstream_and_nothing_else(typed, gene):
    before, after = (grn_knockout(typed, genes).toarray() for genes in (list[str](), f"gene_{gene}"))
    changed = downstream(typed, gene)
    assert not after[:, gene].any()
    # All other levels are what they were, so that shares differ by the new total alone.
    ratio = after[:, ~changed] / before[:, ~changed]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-12)
    changed[gene] = False
    assert (np.abs(after[:, changed] / before[:, changed] / ratio[:, :1] - 1) > 1e-6).any(axis=0).all()


def test_types_differ_in_master_regulators(typed):
    basal, types = typed.varm["basal"], typed.obs["cell_type"]
    assert list(types.cat.categories) == list(basal.columns) == ["type_0", "type_1", "type_2"]
    assert types.value_counts().tolist() == [30] * 3
    assert (basal.to_numpy()[:3] > 0).all() and not basal.to_numpy()[3:].any()
    assert not typed.varp["network"][:, :3].nnz and (typed.varp["network"][:, 3:] != 0).sum(axis=0).min() >= 1
    still = grn_types(90, 25, n_types=3, n_masters=3, noise=0, rng=1)
    masters = still.layers["truth"].toarray()[:, :3]
    np.testing.assert_allclose(masters, still.varm["basal"].to_numpy()[:3].T[types.cat.codes], rtol=1e-6)


def test_genes_that_regulate_nothing_share_regulators():
    def patterns(copying):
        signs = np.sign(grn_types(2, 200, n_types=1, copying=copying, rng=0).varp["network"].toarray())
        assert not signs[20:].any() and (signs[:20] != 0).any(axis=1).mean() > 0.5
        assert np.isin((signs != 0).sum(axis=0)[20:], [1, 2, 3, 4]).all()
        return np.unique(signs[:, 20:], axis=1, return_counts=True)[1]

    apart, modules = patterns(0), patterns(0.9)
    assert len(modules) < 50 < 100 < len(apart)
    assert modules.max() > 2 * np.median(modules)


def test_counts():
    full, lossy = (grn_types(500, 50, depth=500, dropout=dropout, rng=3) for dropout in (None, 50))
    assert full.X.sum() / 500 == pytest.approx(500, rel=0.1)
    assert lossy.X.nnz < 0.8 * full.X.nnz
    # Rare genes lose more of their counts than abundant ones.
    order = np.argsort(full.layers["truth"].toarray().mean(axis=0))
    kept = np.asarray(lossy.X.sum(axis=0)).ravel()[order] / np.asarray(full.X.sum(axis=0)).ravel()[order]
    assert kept[:10].mean() < 0.5 < 0.9 < kept[-10:].mean()
    shallow = grn_types(50, 20, depth=1, rng=0)
    assert shallow.X.sum(axis=1).min() == 1
    assert shallow.X.dtype == np.float32
