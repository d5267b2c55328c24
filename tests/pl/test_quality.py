from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

import dko


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
        ("similarity", lambda x, truth: abs(x - truth)),
    ],
)
def test_what_is_best_where_more_is_not(evaluated, metric, distance):
    truth = dko.get.evaluation(evaluated).loc["measurement"].get(metric)
    away = [distance(x, truth) for x, _ in means(dko.pl.evaluation(evaluated, metric=metric, show=False))]
    assert away == sorted(away) and len(away) > 1


def test_floor_ceiling_and_reliable_perturbations(evaluated):
    summary = dko.get.evaluation(evaluated)
    ax = dko.pl.evaluation(evaluated, show=False)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {
        "floor: permuted cells": summary.at["permuted cells", "pearson"],
        "measurement, half against half": summary.at["measurement", "ceiling"],
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
    assert lines == {"chance": chance, "replicate, half against half": summary.at["replicate", metric]}


def test_density_of_the_expressed_entries_of_the_test_cells(scanned):
    ax = dko.pl.fit(scanned, show=False)
    found, quality = dko.get.profiles(scanned, split="test"), dko.get.fit_quality(scanned)
    assert ax.collections[0].get_array().sum() == found.X.nnz
    first, second = ax.get_title().split("\n")
    assert first == f"{found.n_obs} test cells, {found.X.nnz} expressed entries"
    (own, mean), (far, far_mean) = quality["spearman"], quality["bray_curtis"]
    assert second == f"Spearman {own:.3f} (gene mean: {mean:.3f}), Bray-Curtis {far:.3f} ({far_mean:.3f})"
    assert ax.get_xlabel() == "observed (share of the cell's expression)"
    assert ax.get_ylabel() == "predicted (share of the cell's expression)"
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlim() == ax.get_ylim()
    diagonal = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(diagonal[:, 0], diagonal[:, 1])


def test_a_grouped_fit_is_compared_with_the_means_of_the_cells_own_group(grouped):
    quality = dko.get.fit_quality(grouped)
    of_all, of_groups = quality["spearman"].iloc[1:]
    title = dko.pl.fit(grouped, show=False).get_title()
    assert f"(gene mean: {of_groups:.3f})" in title and f"{of_groups:.3f}" != f"{of_all:.3f}"
