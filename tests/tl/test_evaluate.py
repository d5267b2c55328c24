from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

HOW: dict[str, Any] = {"perturbation_key": "knockout", "control": "control", "n_bootstrap": 50, "progress": False}
FAST = {**HOW, "baselines": False, "n_splits": 5, "n_bootstrap": 5}
SINGLES = ["gene_2", "gene_6", "gene_15", "gene_22"]


def table(adata):
    return dko.get.evaluation(adata, summary=False)


def cells_of(adata, label):
    return adata[(adata.obs["knockout"] == label).to_numpy()]


def test_predictions_are_those_of_the_getters(evaluated):
    """Effects as of get.effects over the unperturbed cells, impacts as of virtual_ko, also of a pair."""
    control, knockouts = cells_of(evaluated, "control").copy(), [*SINGLES, ("gene_8", "gene_18")]
    effects = dko.get.effects(control, knockouts)
    dko.tl.virtual_ko(control, knockouts)
    impacts = dko.get.impact(control).mean()
    found = table(evaluated).loc["model"]
    for number, label in enumerate([*SINGLES, "gene_18+gene_8"]):
        lost = evaluated.var_names.get_indexer(label.split("+"))
        measured = dko.metrics.effect(cells_of(evaluated, label).X, control.X, without=lost)
        expected = dko.metrics.correlation(effects.X[number], measured)
        assert found.loc[label, "pearson"] == pytest.approx(expected, abs=1e-4)
        assert found.loc[label, "impact"] == pytest.approx(impacts[label], rel=1e-5)


def test_floor_and_chance(evaluated):
    found = table(evaluated)
    chosen = found.loc["measurement", "reliable"].to_numpy() > 0
    for method in ("no change", "renormalise"):
        rows = found.loc[method][chosen]
        assert (rows["pearson"] == 0).all() and (rows["retrieval"] == 0.5).all() and (rows["auroc"] == 0.5).all()
        np.testing.assert_allclose(rows["auprc"], found.loc["measurement", "base_rate"][chosen])
    for method in ("gene mean", "gene spread"):
        rows = found.loc[method][chosen]
        np.testing.assert_allclose(rows["similarity"], 1, atol=0.01)
        np.testing.assert_array_equal(rows["retrieval_centred"], 0.5)
        assert rows["retrieval"].mean() == pytest.approx(0.5, abs=0.13)
        assert rows[["impact", "size"]].isna().all(axis=None)


def test_the_ceiling_is_that_of_all_cells(evaluated):
    """By Spearman and Brown, from the agreement of halves, and by the square root, as predictions have no noise."""
    found = table(evaluated).loc["measurement"]
    halves = found["ceiling"].clip(lower=0)
    np.testing.assert_allclose(found["ceiling_whole"], np.sqrt(2 * halves / (1 + halves)), rtol=1e-6)


def test_an_evaluation_of_version_0_1_is_read(evaluated):
    content = evaluated.uns["dko_evaluation"]
    for name in ("table", "summary"):
        content[name] = content[name][content[name]["method"] != "replicate"].drop(columns="scaled", errors="ignore")
    scores = dko.get.evaluation(evaluated)
    assert "pearson_gain" in scores and "pearson_scaled" not in scores
    assert dko.pl.evaluation(evaluated, metric="retrieval", show=False).get_title()


def test_summary_is_over_the_reliable_ones(evaluated):
    summary, wide = dko.get.evaluation(evaluated), table(evaluated)
    chosen = wide.loc["measurement", "reliable"].to_numpy() > 0
    assert summary.attrs == {"n_perturbations": chosen.sum(), "over": "reliable"} and chosen.sum() >= 3
    for method in ("model", "co-expression"):
        for metric in ("pearson", "auroc", "retrieval"):
            low, mean, high = (summary.at[method, metric + end] for end in ("_low", "", "_high"))
            assert low <= mean <= high and mean == pytest.approx(wide.loc[method, metric][chosen].mean())
        ranks = [wide.loc[name, "size"][chosen].rank() for name in (method, "measurement")]
        assert summary.at[method, "impact_ranking"] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_the_main_columns_come_first_and_others_can_be_asked_for(evaluated):
    brief, every = dko.get.evaluation(evaluated, metrics="main"), dko.get.evaluation(evaluated)
    assert brief.shape[1] <= 20 and brief.columns[:3].tolist() == ["pearson", "pearson_low", "pearson_high"]
    pd.testing.assert_frame_equal(brief, every.iloc[:, : brief.shape[1]])
    assert brief.at["measurement", "ceiling"] == every.at["measurement", "ceiling"] and brief.attrs == every.attrs
    some = dko.get.evaluation(evaluated, metrics=["mse", "auroc"])
    assert [*some][:2] == ["mse", "mse_low"] and {name.partition("_")[0] for name in some} == {"mse", "auroc"}
    pd.testing.assert_frame_equal(some, every[list(some)])
    pd.testing.assert_frame_equal(some, dko.get.evaluation(evaluated, metrics=pd.Index(["mse", "auroc"])))
    assert list(dko.get.evaluation(evaluated, summary=False, metrics="mse")) == ["mse"]
    with pytest.raises(KeyError, match="No metric 'person' in the evaluation. Did you mean 'pearson'"):
        dko.get.evaluation(evaluated, metrics=["person", "mse"])


def test_the_message_names_the_ceiling(screen, capsys):
    dko.tl.evaluate(screen, perturbations="gene_6", **FAST)
    said, ceiling = capsys.readouterr().err, table(screen).loc[("measurement", "gene_6"), "ceiling_whole"]
    assert "Evaluated 1 perturbation, 1 of them reliable." in said
    assert f"; a perfect prediction would reach {ceiling:.2f} (the ceiling); see" in said


def test_size_is_that_of_mean_profiles_without_the_gene(evaluated):
    control = cells_of(evaluated, "control").copy()
    before = dko.get.profiles(control, split=None).layers["predicted"]
    dko.tl.virtual_ko(control, "gene_6")
    after = control.layers["dko_ko_gene_6"]
    has = np.asarray((control.X[:, control.var_names.get_loc("gene_6")] > 0).todense()).ravel()
    means = []
    for profiles in (before, after):
        values = np.where(has[:, None], profiles.toarray(), before.toarray())
        values[:, control.var_names.get_loc("gene_6")] = 0
        means.append((values / values.sum(axis=1, keepdims=True)).mean(axis=0, keepdims=True))
    found = table(evaluated)
    assert found.loc[("model", "gene_6"), "size"] == pytest.approx(dko.metrics.bray_curtis(*means)[0], rel=1e-4)
    assert (found.loc["renormalise", "size"] == 0).all() and (found.loc["renormalise", "impact"] > 0).all()
    summary = dko.get.evaluation(evaluated)
    assert np.isnan(summary.at["renormalise", "impact_ranking"]) and summary.at["model", "impact_ranking"] > -1


def test_spellings_of_one_perturbation_are_one(screen):
    dko.tl.evaluate(screen, **FAST)
    expected = table(screen)
    labels = screen.obs["knockout"].astype(str).to_numpy(copy=True)
    for label, other in (("gene_18+gene_8", "gene_8+gene_18"), ("gene_6", "gene_6+control")):
        labels[np.flatnonzero(labels == label)[::2]] = other
    screen.obs["knockout"] = labels
    dko.tl.evaluate(screen, **FAST)
    pd.testing.assert_frame_equal(table(screen), expected)
    dko.tl.evaluate(screen, perturbations=["gene_8+gene_18", "control+gene_6", "gene_6"], **FAST)
    assert table(screen).index.unique("perturbation").tolist() == ["gene_18+gene_8", "gene_6"]


def test_impacts_of_a_total_fit_are_those_of_the_cells(screen):
    """They start from each cell's own profile, also of a gene that some cells lack."""
    values = screen.X.toarray()
    values[:150:3, screen.var_names.get_loc("gene_6")] = 0
    screen.X = values
    dko.tl.fit(screen, perturbation_key="knockout", control="control", max_epochs=3, effects="total", progress=False)
    dko.tl.evaluate(screen, **FAST)
    control = cells_of(screen, "control").copy()
    dko.tl.virtual_ko(control, ["gene_6", ("gene_8", "gene_18")])
    impacts = dko.get.impact(control).mean()
    for label in ("gene_6", "gene_18+gene_8"):
        assert table(screen).loc[("model", label), "impact"] == pytest.approx(impacts[label], rel=1e-5)


def test_a_gene_that_no_unperturbed_cell_expresses_is_not_predictable(screen, capsys):
    values = screen.X.toarray()
    control = (screen.obs["knockout"] == "control").to_numpy()
    values[control, screen.var_names.get_loc("gene_15")] = 0
    screen.X = values
    dko.tl.evaluate(screen, **HOW)
    found = table(screen)
    assert "Not predictable, as no unperturbed cell expresses the gene: 'gene_15'." in capsys.readouterr().err
    assert found.loc["measurement", "predictable"].to_dict()["gene_15"] == 0
    assert np.isnan(found.loc[("model", "gene_15"), ["pearson", "impact"]].to_numpy(dtype=float)).all()
    reliable = (found.loc["measurement", ["reliable", "predictable"]] > 0).all(axis=1).sum()
    assert dko.get.evaluation(screen).attrs["n_perturbations"] == reliable


def test_groups_are_averaged_over_their_cells(screen):
    screen.obs["half"] = ["a", "b"] * (screen.n_obs // 2)
    screen.obs.loc[screen.obs_names[:4], "half"] = None
    dko.tl.fit(screen, groupby="half", perturbation_key="knockout", control="control", max_epochs=5, progress=False)
    dko.tl.evaluate(screen, **FAST)
    control = cells_of(screen, "control")[4:].copy()
    effect = dko.get.effects(control, "gene_6").X[0]
    lost = [screen.var_names.get_loc("gene_6")]
    measured = dko.metrics.effect(cells_of(screen, "gene_6").X, control.X, without=lost)
    expected = dko.metrics.correlation(effect, measured)
    assert table(screen).loc[("model", "gene_6"), "pearson"] == pytest.approx(expected, abs=1e-4)
    assert screen.uns["dko_evaluation"]["params"]["n_control"] == 196


def test_values_are_read_as_the_fit_read_them(screen, evaluated):
    logged = screen.copy()
    logged.X.data = np.log1p(logged.X.data)
    logged.uns["log1p"] = {}
    dko.tl.evaluate(logged, **FAST)
    found, expected = (table(one).loc["model", ["pearson", "mse", "size"]] for one in (logged, evaluated))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (np.r_[:19, 200:400], "at least 20 unperturbed cells that have a model, got 19 with 'control'"),
        (np.r_[:209], "No perturbation has 10 cells to measure its effect in: 'gene_2'"),
        (np.r_[:200], "holds nothing but 'control'"),
    ],
)
def test_too_few_cells(cells, message, screen):
    with pytest.raises(ValueError, match=message):
        dko.tl.evaluate(screen[cells].copy(), **HOW)
