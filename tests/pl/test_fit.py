from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import dko
from dko.metrics import fit_quality, gene_mean


def numbers(ax):
    """The written measures: {"model": (Spearman, Bray-Curtis), "gene mean": ...}."""
    header, *lines = ax.texts[0].get_text().split("\n")
    assert header.split() == ["Spearman", "Bray-Curtis"]
    return {" ".join(line.split()[:-2]): tuple(float(x) for x in line.split()[-2:]) for line in lines}


def measured(observed, predicted):
    quality = fit_quality(observed, predicted)
    return pytest.approx((quality["spearman"], quality["bray_curtis"]), abs=5e-4)


def test_expressed_entries_of_the_test_cells(scanned):
    ax = dko.pl.fit(scanned, show=False)
    found = dko.get.profiles(scanned, split="test")
    observed, predicted = found.X.data, found.layers["predicted"].data
    drawn = np.array(ax.collections[0].get_offsets())
    np.testing.assert_allclose(drawn[:, 0], observed)
    np.testing.assert_allclose(drawn[:, 1], np.maximum(predicted, observed.min() / 1.5))
    assert ax.get_title() == f"{found.n_obs} test cells, {found.X.nnz} expressed entries"
    assert ax.get_xlabel() == "observed (share of the cell's expression)"
    assert ax.get_ylabel() == "predicted (share of the cell's expression)"
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlim() == ax.get_ylim()
    diagonal = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(diagonal[:, 0], diagonal[:, 1])


def test_measures_beside_those_of_the_gene_mean(scanned):
    found, training = (dko.get.profiles(scanned, split=split) for split in ("test", "train"))
    assert numbers(dko.pl.fit(scanned, show=False)) == {
        "model": measured(found.X, found.layers["predicted"]),
        "gene mean": measured(found.X, gene_mean(training.X, found.X)),
    }


def test_a_grouped_fit_is_compared_with_the_means_of_the_cells_own_group(scanned_by_group):
    held_out, training = (dko.get.profiles(scanned_by_group, split=split) for split in ("validation", "train"))
    expected = np.zeros(held_out.shape)
    for group in ("B", "CD4/CD8 T"):
        mine = (held_out.obs["cell_type"] == group).to_numpy()
        expected[mine] = gene_mean(training[training.obs["cell_type"] == group].X, held_out.X[mine]).toarray()
    ax = dko.pl.fit(scanned_by_group, show=False)
    assert ax.get_title().startswith(f"{held_out.n_obs} validation cells")
    baseline = measured(held_out.X, expected)
    assert numbers(ax)["gene mean"] == baseline
    assert baseline != measured(held_out.X, gene_mean(training.X, held_out.X)).expected, "the groups differ"


def test_another_split_by_name(scanned):
    n = (scanned.obs["dko_split"] == "train").sum()
    assert dko.pl.fit(scanned, split="train", show=False).get_title().startswith(f"{n} train cells")


def test_many_entries_are_drawn_as_their_density(scanned, monkeypatch):
    monkeypatch.setattr("dko.pl._quality._MAX_POINTS", 50)
    ax = dko.pl.fit(scanned, show=False)
    density = ax.collections[0]
    assert isinstance(density, PolyCollection)
    assert np.asarray(density.get_array()).sum() == dko.get.profiles(scanned, split="test").X.nnz, (
        "every entry is counted"
    )
    assert [bar.get_ylabel() for bar in ax.child_axes] == ["entries (gene and cell)"]


def test_says_what_is_missing(scanned, scanned_by_group):
    with pytest.raises(KeyError, match="No test cells"):
        dko.pl.fit(scanned_by_group, split="test")
    del scanned.obs["dko_split"]
    with pytest.raises(KeyError, match=r"run dko\.tl\.fit"):
        dko.pl.fit(scanned)
