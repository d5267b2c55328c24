from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.tl._double_ko import _drawn, _numbered, _unrank

from .. import paper as naive


def check(adata, table, layers):
    """Compare every row with the naive formula."""
    presence = (adata.X.toarray() > 0).astype(float)
    cells = adata.obs_names.get_indexer(table["cell"])
    first, second = (adata.var_names.get_indexer(table[column]) for column in ("gene_a", "gene_b"))
    assert (presence[cells, first] * presence[cells, second] == 1).all()
    for row, cell, a, b in zip(table.itertuples(), cells, first, second, strict=True):
        z = presence[cell]
        additive = naive.impact(layers, z, [a]) + naive.impact(layers, z, [b])
        assert row.impact == pytest.approx(naive.impact(layers, z, [a, b]), abs=1e-5)
        assert row.downstream == pytest.approx(naive.downstream(layers, z, [a, b]), abs=1e-5)
        others = naive.downstream(layers, z, [a]) + naive.downstream(layers, z, [b])
        assert row.downstream_interaction == pytest.approx(row.downstream - others, abs=1e-5)
        assert row.additive == pytest.approx(additive, abs=2e-5)
        assert row.interaction == pytest.approx(row.impact - row.additive, abs=1e-6)


@given(budget=st.sampled_from([1, 2_000, 2**28]), seed=st.integers(0, 100), n_samples=st.integers(1, 100))
def test_samples_equal_the_formula_of_the_paper(_fitted, layers_of, budget, seed, n_samples):
    with dko.settings.override(memory_budget=budget):
        adata = dko.tl.double_ko(_fitted, n_samples=n_samples, rng=seed, copy=True)
    table = dko.get.pairs(adata)
    assert len(table) == n_samples
    check(adata, table, layers_of(adata))


def test_named_pairs_are_made_in_every_cell_that_expresses_both(fitted, layers_of):
    dko.tl.double_ko(fitted, [("gene_3", "gene_2"), ("gene_2", "gene_3"), ("HSPA1A/B", "gene_5")])
    table = dko.get.pairs(fitted)
    check(fitted, table, layers_of(fitted))
    assert set(zip(table["gene_a"], table["gene_b"], strict=True)) == {("gene_2", "gene_3"), ("HSPA1A/B", "gene_5")}
    both = (fitted[:, ["gene_2", "gene_3"]].X.toarray() > 0).all(axis=1)
    made = table.loc[table["gene_a"] == "gene_2", "cell"]
    assert made.tolist() == fitted.obs_names[both].tolist()


def test_every_group_has_its_own_model(grouped, layers_of):
    dko.tl.double_ko(grouped, [("gene_2", "gene_3")])
    table = dko.get.pairs(grouped)
    kind = grouped.obs.loc[table["cell"], "cell_type"].to_numpy()
    for number, group in enumerate(grouped.uns["dko"]["groups"]):
        assert (kind == group).any()
        check(grouped, table[kind == group], layers_of(grouped, number))


def test_all_pairs_of_all_cells_where_more_are_asked_for_than_there_are(fitted):
    dko.tl.double_ko(fitted, n_samples=10**6)
    table = dko.get.pairs(fitted)
    n = np.diff(fitted.X.indptr)
    assert len(table) == (n * (n - 1) // 2).sum()
    assert not table.duplicated(["gene_a", "gene_b", "cell"]).any()
    assert (table["gene_a"].astype(str) < table["gene_b"].astype(str)).all()


def test_samples_are_distinct_and_spread_evenly(fitted):
    n = np.diff(fitted.X.indptr).astype(float)
    candidates = n * (n - 1) / 2
    dko.tl.double_ko(fitted, n_samples=3000)
    table = dko.get.pairs(fitted)
    assert not table.duplicated(["gene_a", "gene_b", "cell"]).any()
    share = table["cell"].value_counts().reindex(fitted.obs_names, fill_value=0) / candidates
    expected = 3000 / candidates.sum()
    assert abs(share[candidates > 20].mean() - expected) < 0.02


@given(n=st.integers(2, 30_000), share=st.floats(0, 1, exclude_max=True))
def test_unrank_counts_exactly(n, share):
    number = int(share * (n * (n - 1) // 2))
    ((i, j),) = _unrank(np.array([number]), np.array([n]))
    assert 0 <= i < j < n
    assert number == i * n - i * (i + 1) // 2 + j - i - 1


def test_cells_need_names_of_their_own(fitted):
    fitted.obs_names = ["same", "same", *fitted.obs_names[2:]]
    with pytest.raises(ValueError, match="obs_names holds 'same' more than once; call adata.obs_names_make_unique"):
        dko.tl.double_ko(fitted, n_samples=5)


def test_a_draw_does_not_list_all_pairs_of_all_cells():
    """Of 300 cells of 1,000 genes there are 150 million, of which a list would take 1.2 GB."""
    values = sparse.csr_matrix(np.ones((300, 1_000), dtype=np.float32))
    cells: Any = SimpleNamespace(read=lambda n_rows: [SimpleNamespace(values=values)])
    tracemalloc.start()
    row, position = _numbered(values, None)[1](_drawn(cells, None, 100, np.random.default_rng(0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(row) == 100 and (position[:, 0] < position[:, 1]).all() and position.max() < 1_000
    assert peak < 2**24
