from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dko

HOW: dict[str, Any] = {"perturbation_key": "knockout", "control": "control", "n_bootstrap": 50, "progress": False}
FAST = {**HOW, "baselines": False, "n_splits": 5}
SINGLES = ["gene_2", "gene_6", "gene_15", "gene_22"]


def table(adata):
    return dko.get.evaluation(adata, summary=False)


def cells_of(adata, label):
    return adata[(adata.obs["knockout"] == label).to_numpy()]


def test_every_method_and_perturbation_is_scored(evaluated):
    found = table(evaluated)
    methods = found.index.unique("method").tolist()
    assert methods[:3] == ["model", "no change", "renormalise"] and methods[-1] == "measurement"
    assert len(methods) == 14 and len(found) == 14 * 5
    assert evaluated.uns["dko_evaluation"]["table"]["value"].dtype == np.float64
    scores = ["pearson", "spearman", "auprc", "auroc", "auroc_matched", "retrieval", "retrieval_centred"]
    reliable = found.loc["measurement", "reliable"].to_numpy() > 0
    assert np.isfinite(found.drop(index="measurement", level="method")[scores].to_numpy()[np.tile(reliable, 13)]).all()


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


def test_measured_against_all_unperturbed_cells(evaluated):
    control = cells_of(evaluated, "control")
    values = dko.metrics.log_profiles(control.X)
    found = table(evaluated)
    for gene in SINGLES:
        column = evaluated.var_names.get_loc(gene)
        measured = dko.metrics.effect(cells_of(evaluated, gene).X, control.X, without=[column])
        blind = dko.metrics.baseline_effects(values, [column])["co-expression"][0]
        assert found.loc[("co-expression", gene), "pearson"] == pytest.approx(dko.metrics.correlation(blind, measured))


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


def test_sizes_of_effects_where_they_mean_anything(evaluated):
    found, sizes = table(evaluated), ["calibration_slope", "relative_error", "mse", "mse_corrected"]
    model, noise = found.loc["model"], found.loc["measurement", "mse"]
    np.testing.assert_allclose(model["mse_corrected"], model["mse"] - noise)
    np.testing.assert_allclose(model["relative_error"], model["mse"] / found.loc["no change", "mse"])
    for method in ("co-expression", "gene mean", "permuted cells"):
        assert found.loc[method, sizes].isna().all(axis=None)
    assert np.isfinite(found.loc["no change", sizes[1:]].to_numpy()).all()


def test_scores_are_placed_between_no_change_and_a_replicate(evaluated):
    summary = dko.get.evaluation(evaluated)
    assert summary.at["replicate", "pearson"] == pytest.approx(summary.at["measurement", "ceiling"], abs=0.1)
    for metric in ("pearson", "direction_fidelity", "relative_error"):
        low, value, high = (summary.at[method, metric] for method in ("no change", "model", "replicate"))
        assert summary.at["model", f"{metric}_scaled"] == pytest.approx((value - low) / (high - low))
        assert summary.loc[["no change", "replicate"], f"{metric}_scaled"].tolist() == [0, 1]


def test_an_evaluation_of_version_0_1_is_read(evaluated):
    content = evaluated.uns["dko_evaluation"]
    for name in ("table", "summary"):
        content[name] = content[name][content[name]["method"] != "replicate"].drop(columns="scaled", errors="ignore")
    assert "pearson_gain" in dko.get.evaluation(evaluated) and "pearson_scaled" not in dko.get.evaluation(evaluated)
    assert dko.pl.evaluation(evaluated, metric="retrieval", show=False).get_title()


def test_distances_with_no_change_and_among_the_unperturbed(evaluated):
    found = table(evaluated)
    assert found["energy_distance"].notna().groupby("method").all().pipe(lambda x: x.index[x].tolist()) == [
        "measurement",
        "model",
        "no change",
    ]
    apart, among = found.loc["no change"], found.loc["measurement"]
    for name in ("energy_distance", "mmd"):
        assert (apart[name] > 5 * among[name].abs()).mean() > 0.5


def test_summary_is_over_the_reliable_ones(evaluated):
    summary, wide = dko.get.evaluation(evaluated), table(evaluated)
    chosen = wide.loc["measurement", "reliable"].to_numpy() > 0
    assert summary.attrs == {"n_perturbations": chosen.sum(), "over": "reliable"} and chosen.sum() >= 3
    for method in ("model", "co-expression"):
        for metric in ("pearson", "auroc", "retrieval"):
            assert summary.at[method, metric] == pytest.approx(wide.loc[method, metric][chosen].mean())
            assert (
                summary.at[method, metric + "_low"]
                <= summary.at[method, metric]
                <= summary.at[method, metric + "_high"]
            )
        ranks = [wide.loc[name, "size"][chosen].rank() for name in (method, "measurement")]
        expected = np.corrcoef(ranks[0], ranks[1])[0, 1]
        assert summary.at[method, "impact_ranking"] == pytest.approx(expected)


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


def test_sizes_are_measured_in_as_many_cells(screen):
    """With 12 cells of another knockout, that of 40 is measured in 12 too, where it looks smaller."""
    found = []
    for rng in range(6):
        labels = screen.obs["knockout"].astype(str).to_numpy(copy=True)
        labels[np.flatnonzero(labels == "gene_15")[12:]] = "unknown"
        some = screen.copy()
        some.obs["knockout"] = labels
        dko.tl.evaluate(some, rng=rng, **FAST)
        dko.tl.evaluate(screen, rng=rng, **FAST)
        found.append(
            (table(some).loc[("measurement", "gene_6"), "size"], table(screen).loc[("measurement", "gene_6"), "size"])
        )
    together, alone = np.mean(found, axis=0)
    assert 0 < together < alone


@pytest.mark.slow
def test_permuted_cells_are_the_mean_of_several_shuffles(screen, monkeypatch):
    spread = []
    for shuffles in (1, 16):
        monkeypatch.setattr("dko.tl.evaluation._methods._N_SHUFFLES", shuffles)
        found = []
        for rng in range(4):
            dko.tl.evaluate(screen, rng=rng, **{**HOW, "n_bootstrap": 1, "n_splits": 2})
            found.append(table(screen).loc["permuted cells", "pearson"])
        spread.append(np.std(found, axis=0).mean())
    assert spread[1] < 0.6 * spread[0]


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


def test_rng_decides(screen):
    found = []
    for rng in (1, 1, 2):
        dko.tl.evaluate(screen, rng=rng, **FAST)
        found.append(table(screen))
        assert screen.uns["dko_evaluation"]["params"]["rng"] == rng
    pd.testing.assert_frame_equal(found[0], found[1])
    assert not found[0].equals(found[2])


def test_some_perturbations_only(screen, capsys):
    dko.tl.evaluate(screen, perturbations="gene_6", **FAST)
    found = dko.get.evaluation(screen)
    assert table(screen).index.unique("method").tolist() == ["model", "no change", "replicate", "measurement"]
    assert table(screen).index.unique("perturbation").tolist() == ["gene_6"]
    assert np.isnan(found.at["model", "retrieval"]) and np.isnan(found.at["model", "pearson_low"])
    assert "Evaluated 1 perturbations" in capsys.readouterr().err


def test_left_out_perturbations_are_named_once(screen, capsys):
    labels = screen.obs["knockout"].astype(str).to_numpy(copy=True)
    labels[np.flatnonzero(labels == "gene_15")[:31]] = "unknown"
    screen.obs["knockout"] = labels
    dko.tl.evaluate(screen, **FAST)
    assert table(screen).index.unique("perturbation").tolist() == ["gene_18+gene_8", "gene_2", "gene_22", "gene_6"]
    said = capsys.readouterr().err
    assert "fewer than 10 cells: 'gene_15'." in said and "does not know their genes: 'unknown'." in said


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


def test_nothing_to_predict(screen, unchanged):
    values = screen.X.toarray()
    control = (screen.obs["knockout"] == "control").to_numpy()
    values[control, screen.var_names.get_loc("gene_15")] = 0
    screen.X = values
    with (
        unchanged(screen),
        pytest.raises(ValueError, match="No unperturbed cell expresses the gene of any .*'gene_15'"),
    ):
        dko.tl.evaluate(screen, perturbations="gene_15", **HOW)


def test_a_control_that_is_a_number(screen):
    screen.obs["guide"] = (screen.obs["knockout"] != "control").astype(float)
    with pytest.raises(KeyError, match=r"No value '2' in obs\['guide'\]\. There are '0\.0', '1\.0'\."):
        dko.tl.evaluate(screen, **{**HOW, "perturbation_key": "guide", "control": 2})
    with pytest.raises(ValueError, match=r"None of the 1 perturbations in obs\['guide'\] \('1.0'\) is a gene"):
        dko.tl.evaluate(screen, **{**HOW, "perturbation_key": "guide", "control": 0})


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


def test_test_cells_are_held_out_and_a_model_that_has_seen_the_answers_is_named(screen, caplog):
    dko.tl.fit(screen, perturbation_key="knockout", control="control", test_fraction=0.3, max_epochs=2, progress=False)
    dko.tl.evaluate(screen, **FAST)
    assert screen.uns["dko_evaluation"]["params"]["held_out"] == "test cells" and not caplog.text
    dko.tl.fit(screen, max_epochs=2, progress=False)
    dko.tl.evaluate(screen, **FAST)
    assert "was trained on cells that it is scored on" in caplog.text


def test_a_modality(evaluated, screen, mudata_of):
    data = mudata_of(cells=screen)
    dko.tl.evaluate(data, mod="cells", **FAST)
    found, expected = (table(one).loc["model", ["pearson", "impact", "size"]] for one in (data["cells"], evaluated))
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("name", ["cells.h5ad", pytest.param("cells.zarr", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*zarr v2.*:UserWarning")
def test_survives_a_file(evaluated, tmp_path, name):
    path = tmp_path / name
    getattr(evaluated, f"write_{path.suffix[1:]}")(path)
    back = (ad.read_h5ad if path.suffix == ".h5ad" else ad.read_zarr)(path)
    for summary in (True, False):
        found = dko.get.evaluation(back, summary=summary)
        expected = dko.get.evaluation(evaluated, summary=summary)
        pd.testing.assert_frame_equal(found, expected, check_index_type=False, check_column_type=False)
        assert found.attrs == expected.attrs


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"perturbation_key": "gene"}, KeyError, r"No column 'gene' in adata\.obs"),
        ({"control": "contrl"}, KeyError, r"No value 'contrl' in obs\['knockout'\]\. Did you mean 'control'"),
        ({"perturbations": ["gene_1"]}, KeyError, r"No perturbation 'gene_1' in obs\['knockout'\]"),
        ({"perturbations": []}, ValueError, r"perturbations=\[\] names none to score; leave it out"),
        ({"key": "other"}, KeyError, "No fitted model"),
        ({"control": "gene_2", "perturbations": ["control"]}, ValueError, "is a gene that the model can knock out"),
        ({"n_splits": 0}, ValueError, "n_splits=0 must be at least 1"),
        ({"n_bootstrap": 0}, ValueError, "n_bootstrap=0 must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(screen, change, error, says, unchanged):
    with unchanged(screen), pytest.raises(error, match=says):
        dko.tl.evaluate(screen, **{**HOW, **change})


def test_too_few_cells(screen):
    labels = screen.obs["knockout"].astype(str).to_numpy(copy=True)
    few = screen[(labels != "control") | (np.arange(400) < 19)].copy()
    with pytest.raises(ValueError, match="at least 20 unperturbed cells that have a model, got 19 with 'control'"):
        dko.tl.evaluate(few, **HOW)
    few = screen[np.r_[:209]].copy()
    with pytest.raises(ValueError, match="No perturbation has 10 cells to measure its effect in: 'gene_2'"):
        dko.tl.evaluate(few, **HOW)
    with pytest.raises(ValueError, match="holds nothing but 'control'"):
        dko.tl.evaluate(screen[:200].copy(), **HOW)
