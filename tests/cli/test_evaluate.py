from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import dko as package


@pytest.fixture
def screen_file(store, screen):
    """Cells of measured knockouts, with a fit on the unperturbed ones."""
    return store(screen, "screen.h5ad")


HOW = ("--perturbation-key", "knockout", "--control", "control", "--quiet")


def test_prints_the_summary_and_writes_what_is_asked_for(dko, screen_file, screen, tmp_path):
    table, plot = tmp_path / "scores.csv", tmp_path / "scores.png"
    ran = dko("evaluate", screen_file, *HOW, "--out", table, "--plot", plot)
    assert ran.code == 0 and ran.err == ""
    package.tl.evaluate(screen, perturbation_key="knockout", control="control")
    summary = package.get.evaluation(screen)
    n = summary.attrs["n_perturbations"]
    lines = ran.out.splitlines()
    assert lines[0] == f"Mean over {n} reliable perturbations"
    assert lines[2].split()[:2] == ["model", f"{summary.at['model', 'pearson']:.3f}"]
    assert f"halves of the measurement: {summary.at['measurement', 'ceiling']:.3f} (a perfect" in ran.out
    low, high = (summary.at["model", f"pearson_{end}"] for end in ("low", "high"))
    assert f"Pearson of the model: {summary.at['model', 'pearson']:.3f} ({low:.3f} to {high:.3f}); above" in ran.out
    best = summary["pearson"].drop(["model", "measurement"]).idxmax()
    assert f"above {best}: {summary.at[best, 'pearson_gain']:+.3f} (" in ran.out
    assert max(map(len, lines)) <= 112
    written = pd.read_csv(table, index_col=["method", "perturbation"])
    pd.testing.assert_frame_equal(written, package.get.evaluation(screen, summary=False))
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_some_perturbations_without_baselines(dko, screen_file, kept):
    with kept:
        ran = dko("evaluate", screen_file, *HOW, "--perturbations", "gene_6", "--no-baselines")
    assert ran.code == 0
    assert [line.split("  ")[0] for line in ran.out.splitlines()[2:4]] == ["model", "no change"]
    assert ran.out.startswith("Mean over 1 reliable perturbation\n") and "retrieval" not in ran.out.splitlines()[1]


def test_a_model_of_perturbations(dko, store):
    """What it was not trained on, beside what follows from what it was trained on."""
    adata = package.datasets.perturb_seq(8, 40, n_cells=40, n_controls=120, strength=(2.0, 3.0), depth=2_000, rng=0)
    named: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "progress": False}
    some: dict[str, Any] = {
        "n_latent": 4,
        "hidden": (8,),
        "groups": 4,
        "batch_size": 32,
        "n_members": 1,
        "max_steps": 10,
    }
    package.tl.fit(adata, model="sccvae", holdout=list(adata.varm["effect"])[:3], **named, **some)
    words = ("--perturbation-key", "perturbation", "--control", "control", "--quiet", "--oracle")
    ran = dko("evaluate", store(adata, "perturbed.h5ad"), *words)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    methods = [line.split("  ")[0] for line in lines[2:9]]
    others = ["no change", "mean effect", "ridge", "nearest", "co-expression", "oracle strength"]
    assert methods == ["model", *others], "gaussian has nothing that is printed"
    assert lines[1].split()[:2] == ["Pearson", "beyond"] and lines[-1].startswith("beyond: Pearson after subtracting")
    assert "above oracle strength" not in ran.out and max(map(len, lines)) <= 112


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--control", "ctrl"), "No value 'ctrl' in obs['knockout']"),
        (("--out", "nowhere/scores.csv"), "The folder 'nowhere' does not exist"),
        (("--key", "other"), "holds no fit named 'other'"),
        (("--metric", "person", "--plot", "x.png"), "No metric 'person'"),
        (("--plot", "x.txt"), "--plot 'x.txt' has to end in one of ."),
    ],
)
def test_bad_input_is_one_line(dko, screen_file, words, says, kept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with kept:
        assert says in dko("evaluate", screen_file, *HOW, *words).error


def test_what_cannot_be_drawn_stops_before_anything_is_written(dko, screen_file, tmp_path, kept):
    files = ("--out", tmp_path / "a.csv", "--plot", tmp_path / "a.png", "--metric", "retrieval")
    with kept:
        ran = dko("evaluate", screen_file, *HOW, "--perturbations", "gene_6", *files)
    assert (
        ran.code == 2
        and "No method has a value of 'retrieval'" in ran.err
        and ran.out.startswith("Mean over 1 reliable")
    )
    assert not (tmp_path / "a.csv").exists()


def test_a_wrong_plot_stops_before_anything_is_computed(dko, screen_file, monkeypatch, tmp_path):
    monkeypatch.setattr(package.tl, "evaluate", None)
    for words in (("--metric", "person"), ("--plot", tmp_path / "x.txt")):
        assert dko("evaluate", screen_file, *HOW, *words).error


def test_files_are_not_replaced_unasked(dko, screen_file, tmp_path, kept):
    (tmp_path / "scores.csv").write_text("mine")
    with kept:
        assert "exists; add --force" in dko("evaluate", screen_file, *HOW, "--out", tmp_path / "scores.csv").error
        assert "different files" in dko("evaluate", screen_file, *HOW, "--out", screen_file, "--force").error
        assert "There is no file" in dko("evaluate", tmp_path / "gone.h5ad", *HOW).error
