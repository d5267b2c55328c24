"""The evaluation is itself evaluated: what a perfect, a random and a blind prediction get."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dko.tl.evaluation._measured import cells_without, distances, measure
from dko.tl.evaluation._scores import Predicted, counted, score, score_measurement
from dko.tl.evaluation._screen import Screen

N_GENES, N_KNOCKOUTS = 60, 8
LABELS = [f"gene_{i}" for i in range(N_KNOCKOUTS)]


@pytest.fixture(scope="module")
def truth():
    """Measured knockouts, the effects that other cells of the same knockouts show, and the true ones."""
    rng = np.random.default_rng(0)
    mean = rng.gamma(2, 2, N_GENES)
    shift = rng.normal(scale=0.2, size=(N_KNOCKOUTS, N_GENES))

    def cells(n, change=0.0):
        return sparse.csr_array(rng.poisson(mean * np.exp(change), (n, N_GENES)))

    def screen():
        return Screen(
            control=cells(240),
            held_out=np.arange(240) < 120,
            held_out_are="random half",
            perturbed={label: cells(120, change) for label, change in zip(LABELS, shift, strict=True)},
            columns={label: np.array([i]) for i, label in enumerate(LABELS)},
        )

    first, second = screen(), screen()
    measured = [measure(first, label, cells_without(first, label), 120, 20, rng) for label in LABELS]
    repeated = [measure(second, label, cells_without(second, label), 120, 1, rng).effect for label in LABELS]
    return measured, np.array(repeated), mean, cells_without(first, LABELS[0])


def scores_of(truth, effects):
    measured, _, mean, _ = truth
    table, unknown = score_measurement(measured, effects), np.full(N_KNOCKOUTS, np.nan)
    return table, score(Predicted(effects, unknown, unknown), measured, counted(table), mean)


def test_a_perfect_prediction_reaches_the_ceiling(truth):
    """The ceiling is of halves of the cells; an experiment of as many cells again is above it, but not by much."""
    table, found = scores_of(truth, truth[1])
    ceiling = table["ceiling"].mean()
    assert 0.4 < ceiling < 0.9
    assert ceiling < found["pearson"].mean() < 2 * ceiling / (1 + ceiling) + 0.05, "as Spearman and Brown have it"
    assert found[["retrieval", "retrieval_centred"]].min().min() == 1
    assert found["direction_20"].mean() > 0.95 and found["auroc"].mean() > 0.7
    assert found["similarity"].mean() == pytest.approx(table["similarity"].mean(), abs=0.1)


def test_a_random_prediction_stays_on_the_floor(truth):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        effects = np.where(np.isnan(truth[1]), np.nan, rng.normal(size=truth[1].shape))
        found.append(scores_of(truth, effects)[1].mean())
    mean = pd.DataFrame(found).mean()
    assert abs(mean["pearson"]) < 0.05 and abs(mean["spearman"]) < 0.05 and abs(mean["similarity"]) < 0.05
    for name in ("direction_20", "direction_50", "auroc", "auroc_matched", "retrieval", "retrieval_centred"):
        assert mean[name] == pytest.approx(0.5, abs=0.06), name
    base = scores_of(truth, truth[1])[0]["base_rate"].mean()
    assert mean["auprc"] == pytest.approx(base, abs=0.08)


def test_one_list_for_all_gets_chance_retrieval(truth):
    one = np.where(np.isnan(truth[1]), np.nan, truth[1][3])
    _, found = scores_of(truth, one)
    assert found["retrieval"].mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(found["similarity"].dropna(), 1, atol=0.01)


def test_all_perturbations_where_none_is_reliable():
    table = pd.DataFrame({"predictable": [1.0, 0.0, 1.0], "reliable": [0.0, 1.0, 0.0]})
    assert counted(table).tolist() == [True, False, True]
    table["reliable"] = [1.0, 1.0, 0.0]
    assert counted(table).tolist() == [True, False, False]


def test_the_right_change_brings_cells_closer(truth):
    measured, cells, rng = truth[0][0], truth[3], np.random.default_rng(0)
    control = cells[1].toarray()
    axes = np.linalg.svd(control - control.mean(axis=0))[2][:10].T
    change = np.tile(np.nan_to_num(measured.effect) @ axes, (240, 1))
    found = distances(cells, change, axes, rng)
    for name in ("energy_distance", "mmd"):
        assert found["model"][name] < 0.5 * found["no change"][name]
        assert abs(found["measurement"][name]) < 0.5 * found["no change"][name]


def test_draws_around_a_known_effect_come_as_close_as_it_is_right(truth):
    """With the covariance of unperturbed cells: around no effect, they are as far from the perturbed ones as these."""
    measured, cells = truth[0][0], truth[3]
    control = cells[1].toarray()
    axes = np.linalg.svd(control - control.mean(axis=0))[2][:10].T
    change = np.tile(np.nan_to_num(measured.effect) @ axes, (240, 1))
    found = {}
    for name, known in (("right", measured.effect), ("none", np.zeros(N_GENES))):
        tries = [distances(cells, change, axes, np.random.default_rng(rng), known=known) for rng in range(5)]
        found[name] = np.mean([one["gaussian"]["energy_distance"] for one in tries])
        apart = np.mean([one["no change"]["energy_distance"] for one in tries])
    assert found["right"] < 0.4 * apart and found["none"] == pytest.approx(apart, rel=0.3)


def test_noise_is_the_error_of_the_truth(truth):
    """Two measurements of one truth differ by the noise of both."""
    measured, repeated = truth[:2]
    apart = np.nanmean(np.square([one.effect for one in measured] - repeated))
    assert np.mean([one.noise for one in measured]) == pytest.approx(apart / 2, rel=0.2)


def test_what_is_said_beyond_the_mean_effect(truth):
    """The mean effect itself says nothing; what is twice as large has the slope and the error of it."""
    measured, effects, mean, _ = truth
    centre = np.nanmean(effects, axis=0)
    table, unknown = score_measurement(measured, effects), np.full(N_KNOCKOUTS, np.nan)
    exact = np.array([one.effect for one in measured])

    def found(said):
        return score(Predicted(said, unknown, unknown), measured, counted(table), mean, centre)

    blind = found(np.where(np.isnan(exact), np.nan, centre))
    assert (blind["pearson_centred"] == 0).all() and (blind["pearson"] != 0).all()
    np.testing.assert_allclose(found(exact)[["pearson_centred", "calibration_slope"]], 1)
    double = found(2 * exact)
    np.testing.assert_allclose(double["calibration_slope"], 0.5)
    np.testing.assert_allclose(double["relative_error"], 1)
    np.testing.assert_allclose(double["mse"], np.nanmean(exact**2, axis=1))
    assert "pearson_centred" not in score(Predicted(exact, unknown, unknown), measured, counted(table), mean)
