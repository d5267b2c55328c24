from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

import dko
from dko.metrics import fit_quality, gene_mean


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def dots(ax, size):
    """Where the dots of a size are, by scatter."""
    scatters = [found for found in ax.collections if isinstance(found, PathCollection)]
    return [np.asarray(found.get_offsets()) for found in scatters if found.get_sizes().tolist() == [size]]


def means(ax):
    """The large dot of every row, from the top."""
    return [tuple(found[0]) for found in dots(ax, 48)]


@pytest.mark.parametrize("metric", ["pearson", "auroc_matched", "retrieval", "impact_ranking"])
def test_methods_in_their_order_best_on_top(evaluated, metric):
    ax = dko.pl.evaluation(evaluated, metric=metric, show=False)
    expected = (
        dko.get.evaluation(evaluated)
        .drop(index=["measurement", "replicate"])[metric]
        .dropna()
        .sort_values(kind="stable")[::-1]
    )
    assert rows(ax) == expected.index.tolist() and "model" in rows(ax)
    np.testing.assert_allclose(means(ax), list(zip(expected, range(len(expected)), strict=True)))


@pytest.mark.parametrize(
    ("metric", "distance"),
    [
        ("energy_distance", lambda x, truth: x),
        ("mse", lambda x, truth: x),
        ("calibration_slope", lambda x, truth: abs(x - 1)),
        ("similarity", lambda x, truth: abs(x - truth)),
    ],
)
def test_what_is_best_where_more_is_not(evaluated, metric, distance):
    if metric == "calibration_slope":  # which one method has here: of several
        content = evaluated.uns["dko_evaluation"]
        for name in ("table", "summary"):
            table = content[name][content[name]["metric"] != metric]
            content[name] = table.replace({"metric": {"spearman": metric}})
    truth = dko.get.evaluation(evaluated).loc["measurement"].get(metric)
    away = [distance(x, truth) for x, _ in means(dko.pl.evaluation(evaluated, metric=metric, show=False))]
    assert away == sorted(away) and len(away) > 1


def test_floor_ceiling_and_reliable_perturbations(evaluated):
    summary = dko.get.evaluation(evaluated)
    ax = dko.pl.evaluation(evaluated, show=False)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {
        "floor: permuted cells": summary.at["permuted cells", "pearson"],
        "split-half agreement of the measurement": summary.at["measurement", "ceiling"],
    }
    assert ax.get_title() == f"{summary.attrs['n_perturbations']} reliable perturbations"
    assert len(ax.patches) == 2, "each with its interval"
    wide = dko.get.evaluation(evaluated, summary=False)
    chosen = wide.loc["measurement", "reliable"].to_numpy() > 0
    (drawn,) = [points[:, 0] for points in dots(ax, 14) if points[0][1] == rows(ax).index("model")]
    np.testing.assert_allclose(drawn, wide.loc["model", "pearson"][chosen])


@pytest.mark.parametrize("metric", ["auroc", "retrieval", "direction_50", "auprc"])
def test_chance_is_the_floor_where_it_is_known_and_a_replicate_the_ceiling(evaluated, metric):
    ax = dko.pl.evaluation(evaluated, metric=metric, show=False)
    summary = dko.get.evaluation(evaluated)
    chance = summary.at["measurement", "base_rate"] if metric == "auprc" else 0.5
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {
        "chance": chance,
        "half of the measurement against the other": summary.at["replicate", metric],
    }


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


def test_a_grouped_fit_is_compared_with_the_means_of_the_cells_own_group(grouped):
    held_out, training = (dko.get.profiles(grouped, split=split) for split in ("validation", "train"))
    expected = np.zeros(held_out.shape)
    for group in ("B", "CD4/CD8 T"):
        mine = (held_out.obs["cell_type"] == group).to_numpy()
        expected[mine] = gene_mean(training[training.obs["cell_type"] == group].X, held_out.X[mine]).toarray()
    ax = dko.pl.fit(grouped, show=False)
    assert ax.get_title().startswith(f"{held_out.n_obs} validation cells")
    baseline = measured(held_out.X, expected)
    assert numbers(ax)["gene mean"] == baseline
    assert baseline != measured(held_out.X, gene_mean(training.X, held_out.X)).expected, "the groups differ"
