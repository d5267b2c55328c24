from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import dko as package
from dko.cli._tables import change_table, keystone_table, quality_table


def numbers(text, row):
    line = next(line for line in text.splitlines() if line.startswith(row))
    return [float(word) for word in line.removeprefix(row).split()]


def test_quality_of_groups(cells, quick):
    package.tl.fit(cells, test_fraction=0.3, **quick)
    text = quality_table(cells, key="dko", groupby="cell_type", all_entries=True)
    quality = package.get.fit_quality(cells, groupby="cell_type")
    test = package.get.profiles(cells, split="test")
    lines = text.splitlines()
    assert lines[0] == f"Profiles of {test.n_obs} test cells as predicted by"
    assert lines[1].split("  ")[-1].strip() == "all entries"
    names = ["gene mean per cell_type", "gene mean ", "model"]
    for name in names:
        np.testing.assert_allclose(numbers(text, name)[:3], quality.loc[name.strip()], atol=6e-5)
    observed, predicted = (x.toarray().ravel() for x in (test.X, test.layers["predicted"]))
    assert numbers(text, "model")[3] == pytest.approx(spearmanr(observed, predicted).statistic, abs=6e-5)
    assert len(lines) == 2 + len(names)


def test_keystone_genes_of_groups_beside_their_expression(fitted):
    package.tl.scan(fitted)
    ranking = package.get.ranking(fitted, groupby="cell_type")
    lines = keystone_table(fitted, key="dko", groupby="cell_type", n_genes=2).splitlines()
    assert len(lines) == 2 + 2 * 2
    assert lines[2].startswith("B ") and lines[3].startswith("  ") and lines[4].startswith("CD4/CD8 T ")
    best = ranking[ranking["group"] == "B"].iloc[0]
    means = [f"{best[name]:.4f}" for name in ("downstream_mean", "impact_mean", "expression_mean")]
    shown = [best["gene"], *means, str(best["n_cells"]), f"{best['fraction']:.0%}", *best["mark"].split()]
    assert lines[2].split()[1:] == shown


def test_groups_without_a_ranking_are_named(fitted):
    fitted.obs["batch"] = ["small"] * 5 + ["tiny"] * 3 + ["large"] * 72
    package.tl.scan(fitted)
    lines = keystone_table(fitted, key="dko", groupby="batch", n_genes=2).splitlines()
    assert lines[-1] == "Too few cells to rank genes: small, tiny."
    assert [line.split()[0] for line in lines[2:-2]] == ["large"]


def test_keystone_genes_of_too_few_cells(fitted):
    few = fitted[:8].copy()
    package.tl.scan(few)
    assert "too few to rank them" in keystone_table(few, key="dko", n_genes=3)


@pytest.mark.parametrize("n_genes", [1, 3])
def test_changes_are_the_largest_of_both_signs(fitted, n_genes):
    change = package.get.effects(fitted, "gene_3").to_df().iloc[0].sort_values()
    lines = [line.split() for line in change_table(fitted, "gene_3", key="dko", n_genes=n_genes).splitlines()[2:]]
    assert [line[0] for line in lines] == list(change.index[:n_genes])
    assert [line[2] for line in lines] == list(change.index[::-1][:n_genes])
    np.testing.assert_allclose([float(line[3]) for line in lines], change.to_numpy()[::-1][:n_genes], atol=6e-5)
