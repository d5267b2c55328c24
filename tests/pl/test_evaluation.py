from __future__ import annotations

from typing import Any

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
    """The large dot of every row, from below."""
    return [tuple(found[0]) for found in dots(ax, 48)]


@pytest.fixture(scope="module")
def perturbed():
    """After the evaluation of a model of perturbations, three of which it has not seen."""
    adata = dko.datasets.perturb_seq(8, 40, n_cells=40, n_controls=120, strength=(2.0, 3.0), depth=2_000, rng=0)
    named: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "progress": False}
    some: dict[str, Any] = {
        "n_latent": 4,
        "hidden": (8,),
        "groups": 4,
        "batch_size": 32,
        "n_members": 1,
        "max_steps": 20,
    }
    dko.tl.fit(adata, model="sccvae", holdout=list(adata.varm["effect"])[:3], **named, **some)
    dko.tl.evaluate(adata, n_bootstrap=20, n_splits=3, oracle=True, **named)
    return adata


@pytest.mark.parametrize("metric", ["pearson", "auroc_matched", "retrieval", "impact_ranking"])
def test_methods_in_their_order_best_on_top(evaluated, metric):
    ax = dko.pl.evaluation(evaluated, metric=metric, show=False)
    expected = (
        dko.get.evaluation(evaluated)
        .drop(index=["measurement", "replicate"])[metric]
        .dropna()
        .sort_values(kind="stable")
    )
    assert rows(ax) == expected.index.tolist() and "model" in rows(ax)
    np.testing.assert_allclose(means(ax), list(zip(expected, range(len(expected)), strict=True)))


def test_less_is_better_for_distances(evaluated):
    ax = dko.pl.evaluation(evaluated, metric="energy_distance", show=False)
    drawn = [x for x, _ in means(ax)]
    assert drawn == sorted(drawn, reverse=True) and set(rows(ax)) == {"model", "no change"}


def test_floor_and_ceiling(evaluated):
    summary = dko.get.evaluation(evaluated)
    ax = dko.pl.evaluation(evaluated, show=False)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {
        "floor: permuted cells": summary.at["permuted cells", "pearson"],
        "split-half agreement of the measurement": summary.at["measurement", "ceiling"],
    }
    assert ax.get_title() == f"{summary.attrs['n_perturbations']} reliable perturbations"
    assert len(ax.patches) == 2, "each with its interval"


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


def test_as_similar_as_measured_is_best(evaluated):
    ax = dko.pl.evaluation(evaluated, metric="similarity", show=False)
    truth = dko.get.evaluation(evaluated).at["measurement", "similarity"]
    away = [abs(x - truth) for x, _ in means(ax)]
    assert away == sorted(away, reverse=True) and len(away) > 3


def test_title_counts_what_has_a_value(evaluated):
    tidy = evaluated.uns["dko_evaluation"]["table"]
    reliable = dko.get.evaluation(evaluated, summary=False).loc["measurement", "reliable"]
    one = tidy["perturbation"] == reliable.index[reliable > 0][0]
    tidy.loc[one & (tidy["metric"] == "auroc"), "value"] = np.nan
    n = int(reliable.sum())
    for metric, expected in (("auroc", n - 1), ("pearson", n), ("impact_ranking", n)):
        title = dko.pl.evaluation(evaluated, metric=metric, show=False).get_title()
        assert title == f"{expected} reliable perturbations"


def test_points_are_the_reliable_perturbations(evaluated):
    ax = dko.pl.evaluation(evaluated, show=False)
    wide = dko.get.evaluation(evaluated, summary=False)
    chosen = wide.loc["measurement", "reliable"].to_numpy() > 0
    place = rows(ax).index("model")
    (drawn,) = [points[:, 0] for points in dots(ax, 14) if points[0][1] == place]
    np.testing.assert_allclose(drawn, wide.loc["model", "pearson"][chosen])


def test_one_perturbation_has_no_interval(screen):
    dko.tl.evaluate(
        screen, perturbation_key="knockout", control="control", perturbations="gene_6", baselines=False, progress=False
    )
    ax = dko.pl.evaluation(screen, show=False)
    assert ax.get_title().endswith("1 reliable perturbation") and not ax.patches
    assert [line.get_label() for line in ax.lines][0] == "floor: no change"
    with pytest.raises(ValueError, match="No method has a value of 'retrieval'"):
        dko.pl.evaluation(screen, metric="retrieval")


def test_sizes_of_effects_the_best_on_top(perturbed):
    summary = dko.get.evaluation(perturbed)
    ax = dko.pl.evaluation(perturbed, metric="mse", show=False)
    drawn = [x for x, _ in means(ax)]
    assert drawn == sorted(drawn, reverse=True) and "oracle strength" in rows(ax)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines["noise of the measurement"] == summary.at["measurement", "mse"]
    ax = dko.pl.evaluation(perturbed, metric="calibration_slope", show=False)
    away = [abs(x - 1) for x, _ in means(ax)]
    assert away == sorted(away, reverse=True) and len(away) > 4


def test_beyond_the_mean_effect_chance_is_nothing(perturbed):
    ax = dko.pl.evaluation(perturbed, metric="pearson_centred", show=False)
    line = ax.lines[0]
    assert line.get_label() == "chance" and line.get_xdata()[0] == 0
    assert dict(zip(rows(ax), [x for x, _ in means(ax)], strict=True))["mean effect"] == 0


def test_a_metric_of_another_model(evaluated):
    with pytest.raises(ValueError, match="No method has a value of 'pearson_centred'"):
        dko.pl.evaluation(evaluated, metric="pearson_centred")


def test_in_axes_of_the_user(evaluated):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    assert dko.pl.evaluation(evaluated, ax=ax, return_fig=True) is figure
    assert ax.get_legend() is not None


def test_says_what_is_not_there(evaluated, fitted):
    with pytest.raises(KeyError, match=r"No metric 'person' in the evaluation\. Did you mean 'pearson'"):
        dko.pl.evaluation(evaluated, metric="person")
    with pytest.raises(KeyError, match=r"run dko\.tl\.evaluate"):
        dko.pl.evaluation(fitted)
