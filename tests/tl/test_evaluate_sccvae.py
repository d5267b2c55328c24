"""Evaluation of a model of perturbations: what it is scored on, beside what, and what no prediction may see."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dko
from dko.tl.evaluation._methods import Prediction

from ..conftest import PERTURB_SEQ

HOW: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "progress": False}
HOW |= {"n_bootstrap": 20, "n_splits": 5}
SIMULATED: dict[str, Any] = {"n_modules": 3, "n_pairs": 3, "strength": (1.5, 2.5), "depth": 2_000, "rng": 0}


@pytest.fixture(scope="module")
def _screen():
    """Ten targets and three pairs of them, of 60 cells each, of 60 genes; two targets and the pairs are held out.

    `screen` is a copy of these cells, in place of those of conftest.
    """
    adata = dko.datasets.perturb_seq(10, 60, n_cells=60, n_controls=200, **SIMULATED)
    del adata.layers["counts"]
    paired = {gene for label in adata.varm["effect"] if "+" in label for gene in label.split("+")}
    alone = [label for label in adata.varm["effect"] if "+" not in label and label not in paired]
    adata.uns["held_out"] = [label for label in adata.varm["effect"] if "+" in label] + alone[:2]
    dko.tl.fit(adata, holdout=adata.uns["held_out"], **PERTURB_SEQ, n_members=2, max_steps=30, test_fraction=0.3)
    return adata


@pytest.fixture(scope="module")
def _evaluated(_screen):
    """`evaluated` is a copy of these."""
    return dko.tl.evaluate(_screen, copy=True, **HOW)


@pytest.fixture
def singles(_screen):
    return [label for label in _screen.varm["effect"] if "+" not in label and label not in _screen.uns["held_out"]]


def table(adata):
    return dko.get.evaluation(adata, summary=False)


def mean_of(adata, label, *parts):
    """Return the mean of the cells of a perturbation, of some parts of the split of the fit."""
    cells = adata.obs["perturbation"] == label
    cells &= adata.obs["dko_split"].isin(parts) if parts else True
    return np.asarray(adata.X[cells.to_numpy()].mean(axis=0)).ravel()


def known_of(adata, label, effect):
    """Return an effect, NaN at the perturbed genes."""
    return np.where(adata.var_names.isin(label.split("+")), np.nan, effect)


def measured_of(adata, label):
    """Return what a perturbation has done, against the control cells that the fit has not trained on."""
    return known_of(adata, label, mean_of(adata, label) - mean_of(adata, "control", "test"))


def test_effects_are_differences_of_the_values_themselves(evaluated):
    found, held_out = table(evaluated), evaluated.uns["held_out"]
    effects = dko.get.effects(evaluated, [tuple(label.split("+")) for label in held_out])
    for label in held_out:
        predicted = known_of(evaluated, label, effects["+".join(sorted(label.split("+")))].X[0])
        measured = measured_of(evaluated, label)
        assert found.loc[("model", label), "pearson"] == pytest.approx(
            dko.metrics.correlation(predicted, measured), abs=1e-4
        )
        assert found.loc[("model", label), "mse"] == pytest.approx(dko.metrics.mse(predicted, measured), rel=1e-3)
    assert found.loc["measurement", "n_changed"].nunique() > 1 and found.loc["measurement", "n_changed"].sum() > 50


def test_baselines_are_those_of_the_training_cells(evaluated, singles):
    before = mean_of(evaluated, "control", "train", "validation")
    training = {
        label: known_of(evaluated, label, mean_of(evaluated, label, "train", "validation") - before)
        for label in singles
    }
    mean, found = np.nanmean(list(training.values()), axis=0), table(evaluated)
    for label in evaluated.uns["held_out"]:
        measured = measured_of(evaluated, label)
        expected = {"mean effect": mean}
        if "+" in label:
            expected["additive"] = sum(training[gene] for gene in label.split("+"))
        for method, effect in expected.items():
            r = dko.metrics.correlation(known_of(evaluated, label, effect), measured)
            assert found.loc[(method, label), "pearson"] == pytest.approx(r, abs=1e-4)
        assert np.isfinite(found.loc[("additive", label), "pearson"]) == ("+" in label)
        assert np.isfinite(found.loc[("co-expression", label), "pearson"]) == ("+" not in label)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_no_prediction_depends_on_cells_that_are_held_out(screen, evaluated, change):
    """Without the cells of one perturbation, or with noise in their place, all predict the same of the others."""
    gone = screen.uns["held_out"][0]
    cells = (screen.obs["perturbation"] == gone).to_numpy()
    if change == "deleted":
        other = screen[~cells].copy()
    else:
        other = screen.copy()
        x = other.X.toarray()
        x[cells] = np.random.default_rng(0).gamma(2, 1, (cells.sum(), 60))
        other.X = x
    dko.tl.evaluate(other, **HOW)
    predicted = ["pearson", "spearman", "mse", "relative_error", "calibration_slope", "pearson_centred", "impact"]
    found, expected = (
        table(one)[predicted]
        .drop(index=["replicate", "measurement"], level="method")
        .drop(index=gone, level="perturbation", errors="ignore")
        for one in (other, evaluated)
    )
    pd.testing.assert_frame_equal(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*zarr:UserWarning")
@pytest.mark.parametrize(("kind", "budget"), [("backed", 2**28), ("zarr", 300_000)])
def test_neither_storage_nor_budget_changes_a_number(screen, evaluated, kind, budget, tmp_path):
    """Of more cells than the budget, all are kept in a scratch file and added up in blocks."""
    if kind == "backed":
        screen.write_h5ad(tmp_path / "cells.h5ad")
        found = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    else:
        screen.write_zarr(tmp_path / "cells.zarr")
        found = ad.experimental.read_lazy(tmp_path / "cells.zarr")
    with dko.settings.override(memory_budget=budget):
        dko.tl.evaluate(found, **HOW)
    pd.testing.assert_frame_equal(table(found), table(evaluated), rtol=1e-5, atol=1e-6, check_categorical=False)


def test_of_too_many_cells_some_are_tested(screen, evaluated, monkeypatch, capsys):
    """What needs all cells at once is of a random sample, and says so; all else is the same."""
    for place in ("_evaluate", "evaluation._measured"):
        monkeypatch.setattr(f"dko.tl.{place}.MOST_CELLS", 20)
    dko.tl.evaluate(screen, **HOW)
    assert "Genes that change are tested in at most 20 cells a side, at random." in capsys.readouterr().err
    found, expected = (table(one).loc["measurement"] for one in (screen, evaluated))
    assert (found["n_changed"] < expected["n_changed"]).any()
    np.testing.assert_allclose(table(screen).loc["model", "pearson"], table(evaluated).loc["model", "pearson"])


@pytest.fixture(scope="module")
def many():
    return dko.datasets.perturb_seq(10, 60, n_cells=2_000, n_controls=5_000, **SIMULATED)


@pytest.mark.parametrize("kind", ["perfect", "random", "blind"])
def test_a_perfect_a_random_and_a_blind_prediction(screen, many, monkeypatch, kind):
    """T18: a perfect one is what 2,000 other cells of each perturbation show, a blind one the same for all."""
    effects = {label: mean_of(many, label) - mean_of(many, "control") for label in screen.uns["held_out"]}
    rng = np.random.default_rng(0)

    def predict(_, labels, samples, profiles, axes):
        found = []
        for label, cells in zip(labels, samples, strict=True):
            effect = {
                "perfect": effects[label],
                "random": rng.normal(size=60),
                "blind": effects[screen.uns["held_out"][0]],
            }[kind]
            effect = known_of(screen, label, effect)
            found.append(Prediction(effect, 0.0, 0.0, np.tile(np.nan_to_num(effect) @ axes, (len(cells.rows), 1))))
        return found

    monkeypatch.setattr("dko.tl._evaluate.predict", predict)
    dko.tl.evaluate(screen, **HOW)
    model, measurement = table(screen).loc["model"], table(screen).loc["measurement"]
    if kind == "random":
        assert abs(model["pearson"].mean()) < 0.15 and model["auroc"].mean() == pytest.approx(0.5, abs=0.1)
        assert model["calibration_slope"].mean() == pytest.approx(0, abs=0.1)
    elif kind == "blind":
        assert model["retrieval"].mean() == pytest.approx(0.5, abs=0.05)
        np.testing.assert_allclose(model["similarity"], 1, atol=0.02)
    else:
        assert model["pearson"].mean() == pytest.approx(measurement["ceiling_whole"].mean(), abs=0.03)
        # Chance in the mean of the 60 control cells is in the error of all perturbations.
        assert model["mse"].mean() == pytest.approx(measurement["mse"].mean(), rel=0.7)
        assert model["calibration_slope"].mean() == pytest.approx(1, abs=0.15)
        for metric, share in (("mse", 0.2), ("energy_distance", 0.5)):
            assert (model[metric] < share * table(screen).loc["no change", metric]).all()
        assert (model[["retrieval", "retrieval_centred"]] == 1).all(axis=None)


def test_seen_perturbations_are_scored_on_their_test_cells(screen, singles):
    some = singles[:3]
    dko.tl.evaluate(screen, perturbations=some, **HOW)
    found = table(screen)
    assert found.index.unique("perturbation").tolist() == some
    assert (found.loc["measurement", "trained"] == 1).all() and (found.loc["measurement", "n_cells"] == 18).all()
    before = mean_of(screen, "control", "train", "validation")
    for label in some:
        own = known_of(screen, label, mean_of(screen, label, "train", "validation") - before)
        measured = known_of(screen, label, mean_of(screen, label, "test") - mean_of(screen, "control", "test"))
        r = dko.metrics.correlation(own, measured)
        assert found.loc[("nearest", label), "pearson"] == pytest.approx(r, abs=1e-4), "the nearest is its own"


def test_perturbations_that_cannot_be_predicted(screen, caplog, capsys):
    labels = screen.obs["perturbation"].astype(str).to_numpy(copy=True)
    gone = screen.uns["held_out"][0]
    labels[labels == gone] = "unheard-of"
    screen.obs["perturbation"] = labels
    dko.tl.evaluate(screen, **HOW)
    assert "Left out, as the model does not know their genes: 'unheard-of'." in capsys.readouterr().err
    with pytest.raises(ValueError, match="None of the 1 perturbations .* is a gene that the model can knock out"):
        dko.tl.evaluate(screen, perturbations="unheard-of", **HOW)
