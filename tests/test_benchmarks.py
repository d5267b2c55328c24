"""The benchmarks run, and count and score right; what they measure is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dko

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in the source archive"
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Settings that a benchmark makes for its process, which is this one, end with the test."""
    monkeypatch.syspath_prepend(str(ROOT))
    with dko.settings.override(verbosity=0, device="cpu"):
        yield


@pytest.fixture
def inputs(tmp_path):
    """Folder with the small cells of a quick run."""
    from benchmarks.inputs import write

    write(str(tmp_path), ["variable", "published", "reference"], quick=True)
    return str(tmp_path)


@pytest.mark.slow
def test_a_command_runs_fresh_processes_and_writes_what_the_documentation_includes(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "import", "--quick", "--repeats", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (numbers,) = (json.loads(path.read_text()) for path in tmp_path.glob("*_import.json"))
    assert len(numbers["contestants"]["import dko"]["wall"]) == 1
    of_anndata = numbers["contestants"]["import anndata"]
    assert of_anndata["process wall"][0] > of_anndata["wall"][0]
    assert "# Import in a fresh process" in done.stdout
    assert (tmp_path / "latest.md").read_text().startswith("## Import in a fresh process")


def test_every_target_of_every_case_is_there():
    from importlib import import_module

    from benchmarks.cases import CASES

    for contestant in (contestant for case in CASES for contestant in case.contestants):
        module, function = contestant.target.split(":")
        assert callable(getattr(import_module(f"benchmarks.{module}"), function))


@pytest.mark.filterwarnings("ignore:zarr v3 autosharding:UserWarning")
def test_cells_on_disk_are_the_same_however_many_follow(tmp_path, monkeypatch):
    from anndata import read_zarr

    from benchmarks import inputs

    monkeypatch.setattr(inputs, "_BLOCK", 100)
    stores = [tmp_path / name for name in ("few.zarr", "many.zarr")]
    for store, n_cells in zip(stores, (150, 270), strict=True):
        inputs.on_disk(n_cells, 200, store)
    few, many = map(read_zarr, stores)
    assert (few.X != many.X[:150]).nnz == 0 and 0.08 < many.X.nnz / (270 * 200) < 0.12
    assert list(few.obs["cell_type"]) == list(many.obs["cell_type"][:150])
    np.testing.assert_array_equal(few.obsm["X_umap"], many.obsm["X_umap"][:150])


def test_the_tables_of_the_docs_are_made_of_the_numbers_beside_them():
    from benchmarks.scale import page, planned

    results = ROOT / "benchmarks" / "results"
    numbers = json.loads((results / "scale.json").read_text())
    assert page(numbers) == (results / "scale.md").read_text(), "run python -m benchmarks.scale --redraw"
    few, *_, many = (of[1].loc["scan to a file"] for of in planned(numbers).values())
    assert many["knockouts"] == pytest.approx(1e4 * few["knockouts"], rel=1e-6)
    assert many["disk_bytes"] == pytest.approx(1e4 * few["disk_bytes"], rel=1e-6)
    assert few["seconds"] < many["seconds"] <= 1e4 * few["seconds"]


def test_ratios_are_per_piece_of_work_and_their_median_meets_the_bar():
    from benchmarks._case import Case, Contestant, number, times_faster
    from benchmarks._report import page, summarise

    def round_of(wall):
        mine = {"wall": 1.0, "cpu": 1.0, "work": 10, "extra": 7.0}
        return {"ours": mine, "other": {"wall": wall, "cpu": 2.0, "work": 5} if wall else {"skipped": "no network"}}

    faster = times_faster("faster", "ours", "other", each=True, at_least=8.0)
    contestants = [Contestant("ours", "a:b"), Contestant("other", "a:c")]
    case = Case("name", "Title", contestants, [faster, number("memory", "ours", "extra", unit="MB")])
    about = {"date": "2026-01-02", "machine": "a machine", "quick": False}
    summary = summarise(case, [round_of(wall) for wall in (4.0, 2.0, 100.0)], about)
    first, second = summary["claims"]
    assert first["values"] == [8.0, 4.0, 200.0] and first["by_cpu"] == [4.0] * 3
    assert (first["met"], second["met"]) == (True, None)
    assert "| faster | 8 (4 to 200) times | 4 | at least 8 times | met |" in page(summary)
    text = page(summarise(case, [round_of(None)], about))
    assert "Not measured: other (no network)." in text and "| memory | 7 MB |" in text
    assert "| faster |  |  | at least 8 times | not reached or not measured |" in text


def test_the_alternatives_make_the_knockouts_that_a_scan_makes(inputs):
    from benchmarks.contestants import scan

    ours = scan.whole(inputs, "published", n_sample=300)
    dense = scan.dense_batches(inputs, "published", n_sample=300, batch_size=64)
    loop = scan.one_at_a_time(inputs, "published", n_sample=40)
    total, formula = scan.whole(inputs, "variable", n_sample=50), scan.formula(inputs, "variable", n_sample=50)
    assert total["impacts"] == pytest.approx(formula["impacts"], abs=1e-6)
    assert ours["impacts"] == pytest.approx(dense["impacts"], abs=1e-5)
    assert ours["impacts"][:40] == pytest.approx(loop["impacts"], abs=1e-5)
    assert len(set(ours["impacts"])) > 200


def test_the_alternative_makes_the_doubles_that_were_drawn(inputs):
    from benchmarks.contestants import double

    ours = double.sampled(inputs, n=200, n_sample=50)
    loop = double.one_at_a_time(inputs, n=200, n_sample=50)
    assert ours["work"] == 200
    assert ours["impacts"] == pytest.approx(loop["impacts"], abs=1e-5)


@pytest.mark.slow
def test_a_fit_is_timed_to_the_loss_of_the_loop_on_the_same_cells(inputs):
    from benchmarks.contestants import fit

    loop = fit.loop(inputs, "batched", n_steps=20, seed=1)
    same = fit.loop(inputs, "cell_by_cell", n_steps=20, seed=1)
    assert same["final loss"] == pytest.approx(loop["final loss"], abs=1e-4)
    ours = fit.ours(inputs, None, 1, loop["final loss"], 0.0, loop["validation"])
    assert ours["final wall"] > 0
    assert "best wall" not in ours  # no fit reaches a loss of 0
    with pytest.raises(RuntimeError, match="other cells"):
        fit.ours(inputs, None, 2, loop["final loss"], 0.0, loop["validation"])


# Accuracy


@pytest.fixture
def command(monkeypatch):
    """Run the command with some arguments, in this process."""
    from benchmarks.accuracy import __main__

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
        __main__.main()

    return run


def test_a_command_fits_scores_and_writes_what_the_documentation_includes(command, tmp_path, capsys):
    command("simulated", "--quick", "--seeds", "2", "--workers", "1", "--out", str(tmp_path))
    table = pd.read_csv(tmp_path / "accuracy_simulated.csv").set_index(["method", "metric", "seed"])
    rows = table["value"].sort_index()
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
    from benchmarks.accuracy._targets import Target

    r = {
        "first": {"default": [0.5, 0.6, 0.5, 0.6], "a": [0.9] * 4, "b": [0.0] * 4},
        "second": {"default": [0.4] * 4, "a": [0.1] * 4, "b": [0.3] * 4},
        "third": {"default": [0.2, 0.2, 0.2, 9.0], "a": [0.1] * 4, "b": [0.5] * 4},
    }
    return pd.DataFrame(
        Target(name, None, f"gene {n}", by, None, value, 2.0**n, 0.5 + n / 4, n, n / 4, name != "third" or n < 3)
        for name, methods in r.items()
        for by, values in methods.items()
        for n, value in enumerate(values)
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


@pytest.fixture(scope="module")
def simulated():
    return dko.datasets.grn(80, 12, share_present=0.7, density=0.4, rng=1)


def test_a_perfect_prediction_agrees_and_none_does_not(simulated):
    from benchmarks.accuracy._truth import agreement, baselines, true_effects

    true = true_effects(simulated)
    assert agreement(np.nan_to_num(true) * 3, true) == pytest.approx(1)
    assert agreement(np.zeros_like(true), true) == 0
    assert agreement(-true, true) == pytest.approx(-1)
    assert baselines(simulated, np.arange(3))["co-expression"].shape == (3, 12)


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


def test_bars_are_limits_or_rivals():
    from benchmarks.accuracy._bars import BASELINES, Bar, judge

    scores = {"default": 0.5, "paper": 0.6, "gene mean": 0.4, "permuted cells": 0.1, "measurement": 0.9}
    means = pd.concat({("set", "effect"): pd.Series(scores)}, names=["data", "metric", "method"])
    paper = Bar("set", "effect", rival="paper")
    half, best = Bar("set", "effect", rival="paper", share=0.5), Bar("set", "effect", rival=BASELINES)
    bars = [Bar("set", "effect", 0.5), Bar("set", "effect", 0.51), Bar("set", "effect", 0.4, at_most=True), paper, best]
    assert [judge(bar, means)["met"] for bar in bars] == [True, False, False, False, True]
    assert str(judge(half, means)["bar"]).startswith("at least 0.5 x that of paper")
    assert judge(best, means)["bar"] == "at least that of gene mean, 0.400"
    assert judge(paper, means.drop("paper", level="method"))["met"] is None


def test_uniform_p_values_are_told_from_small_ones():
    from benchmarks.accuracy._calibration import scores

    rng = np.random.default_rng(0)
    uniform = scores([rng.random(100) for _ in range(100)], rng)
    small = scores([rng.random(100) ** 2 for _ in range(100)], rng)
    assert uniform["share"] == pytest.approx(0.05, abs=0.01) and small["share"] == pytest.approx(0.22, abs=0.02)
    assert uniform["off"] < 3 < 50 < small["off"]
    assert small["ks"] < 1e-6 < 0.01 < uniform["ks"]
    assert uniform["ks_sets"] < 0.1 and small["ks_sets"] > 0.9
    assert uniform["fdr"] < 0.15 and small["fdr"] > 0.5
