from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import dko

SLASH = "HSPA1A/B"
GENES = [SLASH, "gene_2", "gene_3", "gene_4", "gene_5"]
MEASURED = ["n_cells", "downstream", "downstream_a", "downstream_b", "additive", "interaction"]


def run(adata, genes=GENES, **keywords):
    """Return the table of a run on a copy."""
    return dko.get.interactions(dko.tl.interactions(adata, genes, copy=True, **{"n_permutations": 10} | keywords))


def with_effects(adata, influence, **arrays):
    """Return a copy of cells whose total effects are replaced."""
    adata = adata.copy()
    np.fill_diagonal(influence, 0)
    for name, array in {"influence": influence, **arrays}.items():
        weights = adata.uns["dko"]["weights"]
        weights[f"total_{name}"] = array[None].astype(weights[f"total_{name}"].dtype)
    return adata


@pytest.fixture(scope="module")
def _cells_of_60():
    adata = dko.datasets.grn(300, 60, share_present=0.8, depth=3000, rng=3)
    return dko.tl.fit(adata, effects="total", max_epochs=1, progress=False, copy=True)


@pytest.fixture(scope="module")
def _related(_cells_of_60):
    """Effects of three genes are related; of a fourth and a fifth too, of which the fifth adds little."""
    rng = np.random.default_rng(0)
    influence, correlation, step = rng.normal(scale=0.15, size=(60, 60)), np.eye(60), np.ones(60)
    influence[:, 1], influence[:, 2] = influence[:, 0], -influence[:, 0]
    influence[:, 4] = influence[:, 3] + rng.normal(scale=0.05, size=60)
    correlation[3, 4] = correlation[4, 3] = 0.55
    step[3] = 1.7
    adata = with_effects(_cells_of_60, influence, correlation=correlation, step=step)
    return run(adata, [f"gene_{i}" for i in range(12)], n_permutations=50)


def test_means_over_the_cells_that_express_both_are_those_of_double_ko(fitted):
    table = run(fitted, min_cells=1)
    assert list(zip(table["gene_a"], table["gene_b"], strict=True)) == list(combinations(sorted(GENES), 2))
    dko.tl.double_ko(fitted, list(combinations(GENES, 2)))
    pairs = dko.get.pairs(fitted).groupby(["gene_a", "gene_b"], observed=True)
    for row in table.itertuples():
        cells = pairs.get_group((row.gene_a, row.gene_b))
        assert row.n_cells == len(cells)
        means = [row.downstream, row.additive, row.interaction]
        expected = cells[["downstream", "downstream_additive", "downstream_interaction"]]
        np.testing.assert_allclose(means, expected.mean(), atol=1e-6)
        margin = stats.norm.ppf(0.975) * stats.sem(expected["downstream_interaction"].to_numpy(dtype=float))
        for length in (row.interaction_high - row.interaction, row.interaction - row.interaction_low):
            assert length == pytest.approx(margin, rel=1e-3, abs=1e-7)
    np.testing.assert_allclose(table["additive"], table["downstream_a"] + table["downstream_b"])
    np.testing.assert_allclose(table["excess"], table["interaction"] - table["expected"])


def test_related_genes_have_the_class_of_their_relation(_related):
    kind = _related.set_index(["gene_a", "gene_b"])["class"].astype(str)
    assert kind["gene_0", "gene_1"] == "synergy"
    assert kind["gene_0", "gene_2"] == kind["gene_1", "gene_2"] == "buffering"
    assert kind["gene_3", "gene_4"] == "epistasis"
    assert (kind == "additive").sum() >= len(kind) - 6
    above = _related["interaction"] > _related["expected"]
    assert (above == (_related["z"] > 0)).mean() > 0.9
    np.testing.assert_allclose(_related["pval_adj"], stats.false_discovery_control(_related["pval"]))
    assert ((_related["pval_adj"] <= 0.05) == (_related["class"] != "additive")).all()
    # No z of a permutation is as far: there are 50 of each of 66 pairs.
    assert _related["pval"].min() == pytest.approx(1 / (1 + 66 * 50))


@pytest.mark.parametrize(("effects", "scale"), [("total", 0.1), ("direct", 2.0)])
def test_p_values_of_unrelated_genes_are_uniform(effects, scale):
    rng = np.random.default_rng(0)
    adata = dko.datasets.grn(80, 100, share_present=0.6, depth=3_000, rng=1)
    dko.tl.fit(adata, effects=effects, max_epochs=1, progress=False)
    weights = adata.uns["dko"]["weights"]
    name = "total_influence" if effects == "total" else "influence"
    sets = []
    for _ in range(8):
        weights[name] = rng.normal(scale=scale, size=(1, 100, 100)).astype(np.float32)
        np.fill_diagonal(weights[name][0], 0)
        if effects == "total":
            weights["total_correlation"] = np.eye(100, dtype=np.float16)[None]
        pairs = [tuple(pair) for pair in rng.permutation(adata.var_names).reshape(-1, 2)]
        sets.append(run(adata, pairs, n_permutations=50, min_cells=5)["pval"])
    assert stats.kstest(np.concatenate(sets), "uniform").pvalue > 0.01
    # By chance, a rate of 5 % is undershot in 5 % of the sets: in more than two of eight with a probability of 0.006.
    assert sum((stats.false_discovery_control(p_values) < 0.05).any() for p_values in sets) <= 2


def test_pairs_that_no_permutation_changes_are_additive(_cells_of_60):
    table = run(with_effects(_cells_of_60, np.zeros((60, 60))), ["gene_0", "gene_1", "gene_2"])
    assert (table["z"] == 0).all() and (table["pval"] == 1).all() and (table["class"] == "additive").all()


def test_every_group_has_its_cells_and_its_rate(fitted):
    fitted.obs["batch"] = np.repeat(["x/1", "y"], 40)
    table = run(fitted, groupby="batch", min_cells=1)
    for number, group in enumerate(["x/1", "y"]):
        alone = run(fitted, groups=np.repeat([number == 0, number == 1], 40), min_cells=1)
        part = table[table["group"] == group].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[MEASURED], alone[MEASURED])
        np.testing.assert_allclose(part["pval_adj"], stats.false_discovery_control(part["pval"]))
    named = run(fitted, groupby="batch", groups="y", min_cells=1)
    assert set(named["group"]) == {"y"}
    pd.testing.assert_frame_equal(named[MEASURED], part[MEASURED])


@pytest.mark.parametrize("budget", [5_000, 60_000])
def test_memory_does_not_change_the_result(fitted, budget):
    expected = run(fitted)
    with dko.settings.override(memory_budget=budget):
        pd.testing.assert_frame_equal(run(fitted), expected, rtol=1e-4, atol=1e-6)
