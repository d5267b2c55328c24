"""The accuracy benchmark runs and scores right; what it measures is not tested here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in the source archive"
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def command(monkeypatch):
    """Run the command with some arguments, in this process."""
    from benchmarks.accuracy import __main__

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
        __main__.main()

    # The benchmark sets these for its process, which is this one.
    monkeypatch.setattr(dko.settings, "verbosity", 0)
    monkeypatch.setattr(dko.settings, "device", "cpu")
    return run


def test_a_command_fits_scores_and_writes_what_the_documentation_includes(command, tmp_path, capsys):
    command("simulated", "--quick", "--seeds", "2", "--workers", "1", "--out", str(tmp_path))
    rows = (
        pd.read_csv(tmp_path / "accuracy_simulated.csv").set_index(["method", "metric", "seed"])["value"].sort_index()
    )
    numbers = json.loads((tmp_path / "accuracy_simulated.json").read_text())
    page = (tmp_path / "accuracy_simulated.md").read_text()
    models = {"default", "direct", "total", "paper"}
    assert models == set(rows.xs("effect", level="metric").loc[:, 0.0].index)
    kind = "total" if rows["default", "is_total", 0] else "direct"
    assert rows["default", "effect", 0] == rows[kind, "effect", 0] != rows["paper", "effect", 0]
    effects = {one["method"]: one for one in numbers["results"] if one["metric"] == "effect"}
    assert models < effects.keys() > {"no change", "co-expression", "permuted cells"}
    assert effects["paper"]["mean"] == pytest.approx(rows["paper", "effect"].mean(), abs=1e-4)
    assert effects["no change"]["mean"] == 0
    assert page.startswith("## Simulated networks")
    assert page in capsys.readouterr().out
    targets = pd.read_csv(tmp_path / "accuracy_targets.csv.gz")
    of_default = targets[(targets["method"] == "default") & (targets["seed"] == 0)]
    assert of_default["r"].mean() == pytest.approx(rows["default", "effect", 0], abs=1e-3)
    assert (tmp_path / "accuracy_sets.md").read_text().startswith("## All sets")
    (tmp_path / "accuracy_sets.png").unlink()
    command("--redraw", "--out", str(tmp_path))
    assert (tmp_path / "accuracy_sets.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["screen"], "there is no set screen"),
        (["--seeds", "0"], "must be at least 1"),
        (["--quick"], "name another folder"),
        (["--only-default"], "name another folder"),
    ],
)
def test_what_cannot_be_run_is_said(command, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        command(*arguments)
    assert message in capsys.readouterr().err


@pytest.fixture
def targets():
    """Three sets of four knockouts; of the last, one is not reliable. a is best on the first, b on the others."""
    r = {
        "first": {"default": [0.5, 0.6, 0.5, 0.6], "a": [0.9] * 4, "b": [0.0] * 4},
        "second": {"default": [0.4] * 4, "a": [0.1] * 4, "b": [0.3] * 4},
        "third": {"default": [0.2, 0.2, 0.2, 9.0], "a": [0.1] * 4, "b": [0.5] * 4},
    }
    from benchmarks.accuracy._targets import Target

    return pd.DataFrame(
        [
            Target(
                data, None, f"gene {n}", method, None, value, 2.0**n, 0.5 + 0.25 * n, n, n / 4, data != "third" or n < 3
            )
            for data, methods in r.items()
            for method, values in methods.items()
            for n, value in enumerate(values)
        ]
    )


def test_the_baseline_is_chosen_on_the_other_sets(targets):
    from benchmarks.accuracy._scoreboard import leave_one_out, methods_of

    assert methods_of(targets) == ["a", "b"]
    found = leave_one_out(targets, ["a", "b"], np.random.default_rng(0))
    assert found["rival"].tolist() == ["b", "a", "a", "", ""]
    assert found["gain"].tolist() == pytest.approx([0.55, 0.3, 0.1, 0.95 / 3, 0.95 / 3])
    assert found["best"].tolist()[:3] == ["a", "b", "b"]
    assert found["above"].tolist()[:3] == pytest.approx([-0.35, 0.1, -0.3])
    assert found.at["first", "low"] < 0.55 < found.at["first", "high"]
    assert found.loc["second", ["low", "high"]].tolist() == pytest.approx([0.3, 0.3])
    assert found.at["mean of measured sets", "default"] == pytest.approx((0.55 + 0.4 + 0.2) / 3)


def test_sizes_where_the_direction_is_right(targets):
    from benchmarks.accuracy._scoreboard import sizes

    one = targets[(targets["data"] == "first") & (targets["method"] == "default")]
    found = sizes(one.assign(r=[0.5, 0.05, 0.5, 0.5]))
    assert (found["n"], found["slope: n"], found["median"]) == (4, 3, 4)
    assert found["within a factor of 3"] == pytest.approx(1 / 3)
    assert (found["error: median"], found["above 1.1"], found["worst"]) == (0.875, 0.25, 1.25)


def test_knockouts_of_a_later_run_take_the_place_of_older_ones(targets, tmp_path):
    from benchmarks.accuracy._scoreboard import write

    about = {"date": "2026-01-02", "machine": "a machine", "quick": False}
    targets.loc[targets["method"] == "a", "method"] = "ceiling"
    write(targets, about, tmp_path)
    later = targets[targets["data"] == "second"].assign(r=0.75)
    page = write(later, about, tmp_path)
    kept = pd.read_csv(tmp_path / "accuracy_targets.csv.gz")
    assert len(kept) == len(targets) and (kept["r"][kept["data"] == "second"] == 0.75).all()
    assert "| second | 0.750 | 0.750 | 0.750 |" in page and "| first | 0.550 | 0.000 | 0.900 |" in page


def test_scores_of_a_knockout_and_what_a_perfect_prediction_has():
    from benchmarks.accuracy._targets import Truth

    effects = np.array([[np.nan, 1.0, -2.0, 3.0], [np.nan] * 4])
    truth = Truth("set", 0, ["a", "b"], effects, np.array([0.5, 1]), np.array([True, False]), np.array([0.9, 1]))
    (half,) = truth.rows(["default"], 0.5 * np.nan_to_num(effects), seed=3)
    assert half[:5] == ("set", 0, "a", "default", 3) and half.reliable and half.share_of_cells == 0.5
    assert (half.r, half.slope, half.relative_error) == pytest.approx((1, 2, 0.25))
    assert half.strength == pytest.approx(np.sqrt(14 / 3))
    (convention,) = truth.rows(["co-expression"], effects)
    assert convention.r == pytest.approx(1) and np.isnan([convention.slope, convention.relative_error]).all()
    (ceiling,) = truth.ceiling()
    assert ceiling.r == 0.9


def test_predicted_cells_are_held_against_those_that_did_not_train(command, tmp_path):
    from benchmarks.accuracy import _cells

    if not (_cells.DATA / _cells.FILES[1]).is_file():
        pytest.skip(f"{_cells.DATA} lacks {_cells.FILES[1]}")
    found = pd.DataFrame(_cells.measure(_cells.PAPALEXI, 0, quick=True)).set_index(["method", "metric"])["value"]
    assert found["default", "gap"] < 1e-4
    # The fit of a few steps says little, the truth about the mean much, and nothing is closer than more control cells.
    distance = found.xs("energy_distance", level="metric")
    assert abs(distance["measurement"]) < distance["mean shift"] < distance["no change"]


def test_files_that_are_not_there_are_named(command, monkeypatch, tmp_path):
    from benchmarks.accuracy import __main__

    monkeypatch.setattr(__main__, "DATA", tmp_path)
    with pytest.raises(SystemExit, match=r"lacks .*nkx21.*; set DKO_TEST_DATA"):
        command("screens", "--out", str(tmp_path))


@pytest.fixture(scope="module")
def simulated():
    return dko.datasets.grn(80, 12, share_present=0.7, density=0.4, rng=1)


def test_true_effects_are_those_on_targets():
    from benchmarks.accuracy._truth import true_effects

    # a activates b; all have a basal production.
    network = pd.DataFrame(np.diag([-1.0, -0.2, -1.0]), index=[*"abc"], columns=[*"abc"])
    network.loc["a", "b"] = 2.0
    true = true_effects(dko.datasets.grn(20, network=network, share_present=1.0))
    assert np.isnan(true[0, 0])
    assert true[0, 1] < 0 < true[0, 2]  # less b leaves more of the profile to c
    assert np.isnan(true[1:]).all()  # b and c regulate nothing but themselves


def test_true_effects_of_a_panel_leave_out_what_is_not_measured():
    from benchmarks.accuracy._truth import strongest, true_effects

    cells = dko.datasets.grn_types(40, 12, n_masters=2, regulating_share=0.4, rng=1)
    panel = np.array([0, 3, 5, 9])
    true = true_effects(cells, panel)
    before, after = (dko.datasets.grn_knockout(cells, genes)[:, panel] for genes in ([], ["gene_3"]))
    np.testing.assert_array_equal(true[1], dko.metrics.effect(after, before, without=[1]))
    assert np.isfinite(true[:2, 2:]).all() and np.isnan(true[2:]).all()
    assert list(strongest(true)) == [0, 1]
    assert list(strongest(true, 1)) == [np.nansum(true**2, axis=1).argmax()]


def test_a_panel_of_simulated_cells_is_scored():
    from benchmarks.accuracy._job import run
    from benchmarks.accuracy._types import measure

    setting = {"setting": "100 of 300 genes", "network": 0, "seeds": 1, "quick": True}
    with dko.settings.override(verbosity=0, device="cpu"):
        rows, targets = run([(measure, setting)], workers=1)
    found = rows.set_index(["method", "metric"])["value"]
    assert {"effect", "effect_strong", "impact"} <= set(found["default"].index)
    assert found["no change", "effect_strong"] == 0 < found["co-expression", "effect_strong"]
    strong = targets[targets["reliable"]].groupby("method")["r"].mean()
    assert strong["default"] == pytest.approx(found["default", "effect_strong"]) and strong["ceiling"] == 1


def test_a_half_known_network_has_as_many_wrong_edges():
    from benchmarks.accuracy._prior import _half_known

    cells = dko.datasets.grn_types(20, 40, n_types=2, rng=0)
    known = _half_known(cells, 0)
    network = pd.DataFrame(np.sign(cells.varp["network"].toarray()), cells.var_names, cells.var_names)
    true = network.to_numpy()[tuple(network.index.get_indexer(known[end]) for end in ("source", "target"))]
    right = true != 0
    assert right.sum() == len(known) / 2 and 0.3 < right.sum() / network.to_numpy().astype(bool).sum() < 0.7
    assert (true[right] == known["weight"][right]).all()
    assert not known.duplicated(["source", "target"]).any() and (known["source"] != known["target"]).all()


def test_a_perfect_prediction_agrees_and_none_does_not(simulated):
    from benchmarks.accuracy._truth import agreement, baselines, true_effects

    true = true_effects(simulated)
    assert agreement(np.nan_to_num(true) * 3, true) == pytest.approx(1)
    assert agreement(np.zeros_like(true), true) == 0
    assert agreement(-true, true) == pytest.approx(-1)
    assert baselines(simulated, np.arange(3))["co-expression"].shape == (3, 12)


def test_impacts_are_ranked_over_the_genes_that_are_seen(simulated):
    from benchmarks.accuracy._simulated import _rank_correlation

    impact = dko.datasets.grn_impact(simulated)
    some = simulated.copy()
    some.X = some.X.multiply(simulated.X > np.median(simulated.X.data)).tocsr()
    some.X.eliminate_zeros()
    assert _rank_correlation(impact * 2, some, impact) == pytest.approx(1)
    assert _rank_correlation(-impact, some, impact) == pytest.approx(-1)


def test_true_interactions_are_over_the_cells_in_which_both_genes_are_seen(simulated):
    from benchmarks.accuracy._interactions import expression_says, true_interactions

    genes = [("gene_0", "gene_1"), ("gene_0", "gene_5")]
    found, sums = true_interactions(simulated, genes)

    def downstream(cell, removed):
        before, after = (
            np.delete(dko.datasets.grn_knockout(simulated, some, cells=[cell]).toarray()[0], removed)
            for some in ([], list(simulated.var_names[removed]))
        )
        return np.abs(after / after.sum() - before / before.sum()).sum() / 2

    for number, pair in enumerate(genes):
        columns = [int(gene.removeprefix("gene_")) for gene in pair]
        expected = []
        for row in np.flatnonzero((simulated.X[:, columns].toarray() > 0).all(axis=1)):
            cell = simulated.obs_names[row]
            expected.append(downstream(cell, columns) - sum(downstream(cell, [column]) for column in columns))
        assert len(expected) > 10
        assert found[number] == pytest.approx(np.mean(expected))
    assert (sums > 0).all() and (found < sums).all()
    for predicted, relative_to in expression_says(simulated, genes, 0).values():
        assert predicted.shape == relative_to.shape == (2,) and (predicted <= 0).all()


def test_interactions_are_measured():
    from benchmarks.accuracy._interactions import NAMES, SUM_OF_IMPACTS, measure

    with dko.settings.override(verbosity=0, device="cpu"):
        table = pd.DataFrame(measure(next(iter(NAMES)), 0, 1, True)).set_index(["method", "metric"])["value"]
    assert {"default", "direct", "total", "paper", "co-expression", "minus the smaller share"} < set(
        table.index.levels[0]
    )
    assert table.between(-1, 1).all() and not table.loc[["gene mean"]].any()
    assert (SUM_OF_IMPACTS, "interaction") in table.index and (SUM_OF_IMPACTS, "relative") not in table.index


@pytest.fixture
def screen():
    """Truth of 4 regulators of 5 targets each."""
    effect = np.zeros((24, 4))
    for regulator in range(4):
        effect[4 + 5 * regulator : 9 + 5 * regulator, regulator] = [1, -1, 2, -2, 1.5]
    truth = AnnData(np.ones((2, 24)), varm={"ko_effect_true": effect, "direct_weight": effect})
    truth.var_names = [f"TF{number}" if number < 4 else f"gene{number}" for number in range(24)]
    truth.uns["tf_names"] = [f"TF{number}" for number in range(4)]
    return truth


def test_specificity_of_a_perfect_prediction_and_of_one_that_ignores_the_knockout(screen):
    from benchmarks.accuracy._specificity import scores

    true = screen.varm["ko_effect_true"].T
    perfect, blind = scores(true, screen), scores(np.tile(true.sum(axis=0), (4, 1)), screen)
    assert perfect["effect"] == pytest.approx(1)
    for metric in ("auroc_affected", "auroc_direct", "auroc_direct_centred", "retrieval_centred"):
        assert perfect[metric] == 1
    assert blind["similarity"] == pytest.approx(1)
    assert blind["retrieval_centred"] == blind["auroc_direct_centred"] == 0.5


def test_sizes_ignore_signs():
    from benchmarks.accuracy._screens import sizes

    measured = pd.DataFrame([[np.nan, 1.0, -2.0, 3.0, 0.5]])
    assert sizes(np.array([[0.0, 1.0, 2.0, -3.0, 0.5]]), measured) == pytest.approx(
        {"size_pearson": 1, "size_spearman": 1}
    )


def test_another_tool_that_cannot_run_is_left_out_with_the_reason(simulated, monkeypatch, capsys):
    from benchmarks._environments import Unavailable
    from benchmarks.accuracy import _peers

    def none(_):
        raise Unavailable("no network")

    monkeypatch.setattr(_peers, "python_of", none)
    assert _peers.peer_scores("GenKI", simulated, ["gene_1"]) is None
    assert "Not measured: GenKI. no network" in capsys.readouterr().err


def test_scores_of_another_tool_are_put_in_order(simulated, monkeypatch):
    from benchmarks.accuracy import _peers

    monkeypatch.setattr(_peers, "python_of", lambda _: "python")
    outcome = {"genes": ["gene_2", "gene_0"], "scores": {"gene_1": [3.0, None]}}
    monkeypatch.setattr(_peers, "call", lambda *_, **__: outcome)
    found = _peers.peer_scores("scTenifoldKnk", simulated, ["gene_0", "gene_1"])
    assert found is not None
    assert found.shape == (2, 12)
    assert found.loc["gene_1", "gene_2"] == found.to_numpy().sum() == 3


def _means(**values):
    index = pd.MultiIndex.from_tuples([("set", "effect", name.replace("_", " ")) for name in values])
    return pd.Series(list(values.values()), index=index.set_names(["data", "metric", "method"]))


def test_bars_are_limits_or_rivals():
    from benchmarks.accuracy._bars import BASELINES, Bar, judge

    means = _means(default=0.5, paper=0.6, gene_mean=0.4, permuted_cells=0.1, measurement=0.9)
    assert judge(Bar("set", "effect", 0.5), means)["met"] is True
    assert judge(Bar("set", "effect", 0.51), means)["met"] is False
    assert judge(Bar("set", "effect", 0.4, at_most=True), means)["met"] is False
    assert judge(Bar("set", "effect", rival="paper"), means)["met"] is False
    half = judge(Bar("set", "effect", rival="paper", share=0.5), means)
    assert str(half["bar"]).startswith("at least 0.5 x that of paper")
    best = judge(Bar("set", "effect", rival=BASELINES), means)
    assert (best["met"], best["bar"]) == (True, "at least that of gene mean, 0.400")
    assert judge(Bar("set", "effect", rival="paper"), means.drop("paper", level="method"))["met"] is None


def test_tables_show_ranges_intervals_and_what_is_not_met(tmp_path):
    from benchmarks.accuracy._report import write
    from benchmarks.accuracy._row import Row

    def row(method, seed, value, low=np.nan, high=np.nan, data="tal1"):
        return Row(data, None, method, seed, "pearson", value, low, high)

    rows = [
        *(row("default", seed, value, 0.1, 0.3) for seed, value in enumerate([0.1, 0.2, 0.3])),
        row("gene mean", None, -0.00001),
        row("paper", 0, 0.1),
        *(row("default", 0, 0.9, data=data) for data in ("nkx21", "renge")),
    ]
    about = {"date": "2026-01-02", "machine": "a machine", "seeds": 3, "quick": False}
    text = write("screens", pd.DataFrame(rows, columns=Row._fields), about, tmp_path)
    assert "| tal1 | pearson | 0.200 | at least 0.27 | **not met** |" in text
    assert "| default | 0.200 (0.100 to 0.300) [0.100, 0.300] | 0.900 | 0.900 |" in text
    assert "| gene mean | 0.000 |" in text
    assert json.loads((tmp_path / "accuracy_screens.json").read_text())["bars"][0]["met"] is False


def test_true_impacts_of_keystones_with_and_without_the_share_of_the_gene():
    from benchmarks.accuracy import _keystone

    cells = dko.datasets.grn(30, 8, depth=500, rng=0)
    true = _keystone._true(cells)
    seen = cells.X.toarray() > 0
    impact = np.where(seen, dko.datasets.grn_impact(cells).toarray(), 0).sum(axis=0) / seen.sum(axis=0)
    np.testing.assert_allclose(true["impact"], impact, rtol=1e-6)
    assert (true["downstream"] < 1).all() and (
        true["downstream"][cells.varp["network"].getnnz(axis=1) == 0] < 1e-6
    ).all()


def test_essential_genes_are_told_from_others_of_the_same_expression():
    from benchmarks.accuracy import _essential

    rng = np.random.default_rng(0)
    expression = rng.lognormal(size=200)
    truth = rng.random(200) < 0.2 + 0.4 * (expression > 1)
    found = {row.metric: row for row in _essential._areas("cells", "mean", "of others", expression, truth, expression)}
    areas = [found[f"{name} of others"] for name in ("auroc", "auroc_matched")]
    assert areas[0].value > 0.6 > areas[1].value
    assert all(row.low < row.value < row.high for row in areas)
