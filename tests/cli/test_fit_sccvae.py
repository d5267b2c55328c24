"""``dko fit --model sccvae``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko._core.fitted import best_loss
from dko.cli._parser import build_parser
from dko.cli._perturbation_tables import perturbation_table
from dko.io._files import read_any
from dko.models.sccvae import CODES

HOW = ("--model", "sccvae", "--perturbation-key", "perturbation", "--control", "control", "--quiet")


def rows_of(text):
    return [line.split() for line in text.splitlines()[2:]]


@pytest.mark.parametrize("ending", [".h5ad", ".h5mu"])
def test_same_as_in_python(dko, store, perturbations, tmp_path, ending):
    source, out = store(perturbations, f"in{ending}"), tmp_path / f"out{ending}"
    words = (
        "--features",
        "onehot",
        "--holdout",
        "gene_7,gene_21+gene_7",
        "--max-steps",
        "2",
        "--n-members",
        "1",
        "--rng",
        "3",
        "--test-controls",
        "0.2",
    )
    ran = dko("fit", source, "--out", out, *HOW, *words)
    assert ran.code == 0 and ran.err == "", ran
    package.tl.fit(
        perturbations,
        model="sccvae",
        perturbation_key="perturbation",
        control="control",
        features="onehot",
        holdout=["gene_7", "gene_21+gene_7"],
        test_controls=0.2,
        max_steps=2,
        n_members=1,
        rng=3,
        progress=False,
    )
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    for name, weights in perturbations.uns["dko"]["weights"].items():
        np.testing.assert_array_equal(after.uns["dko"]["weights"][name], weights)
    loss = best_loss(package.get.history(perturbations))
    title = f"Perturbations: 4 trained, 2 held out, 1 dropped. Validation loss: {loss:.4f}"
    assert ran.out.splitlines()[0] == title
    table = perturbations.uns["dko"]["perturbations"].set_index("perturbation")
    rows = rows_of(ran.out)
    assert {row[0] for row in rows} == set(table.index)
    for name, n_cells, *role in rows:
        known = np.isfinite(table.at[name, "strength"])
        assert (
            int(n_cells) == table.at[name, "n_cells"]
            and " ".join(role[: -1 if known else None]) == (table.at[name, "role"])
        )
        assert not known or float(role[-1]) == pytest.approx(table.at[name, "strength"], abs=6e-5)


def test_options_reach_the_fit(dko, store, perturbations, tmp_path):
    perturbations.obs["batch"] = "one"
    source, out = store(perturbations, "in.h5ad"), tmp_path / "out.h5ad"
    (tmp_path / "holdout.txt").write_text("gene_7\ngene_15\n")
    words = ("--layer", "counts", "--normalize", "--min-cells", "10", "--max-steps", "2", "--key", "mine")
    model = (
        "--n-members",
        "1",
        "--graph",
        "none",
        "--code",
        "softmax",
        "--holdout",
        f"@{tmp_path}/holdout.txt",
    )
    ran = dko("fit", source, "--out", out, *HOW, *words, *model)
    assert ran.code == 0, ran
    stored = read_any(out).uns["mine"]
    expected = {"layer": "counts", "values": "counts", "min_cells": 10, "graph": "none"}
    expected["n_members"] = 1
    assert {name: stored["params"][name] for name in expected} == expected
    assert stored["params"]["config"]["code"] == "softmax" and stored["params"]["features"] == "influence"
    role = stored["perturbations"].set_index("perturbation")["role"]
    assert role["gene_29"] == "trained" and role["gene_36"] == "dropped"
    assert set(role.index[role == "held out"]) == {"gene_7", "gene_15"}


def test_choices_are_those_of_the_model():
    """They are spelled out, so that --help is light."""
    commands = next(iter(build_parser()._subparsers._group_actions))  # type: ignore[union-attr]
    choices = {action.dest: action.choices for action in commands.choices["fit"]._actions}  # type: ignore[index]
    assert tuple(choices["code"]) == CODES


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*HOW, "--groupby", "batch"), "--groupby is an option of --model dko, not of sccvae."),
        ((*HOW, "--rank", "4", "--effects", "auto"), "--rank, --effects are options of --model dko, not of sccvae."),
        (("--min-cells", "5"), "--min-cells is an option of --model sccvae, not of dko."),
        (("--normalize", "--holdout", "A"), "--holdout, --normalize are options of --model sccvae, not of dko."),
        (("--model", "sccvae", "--control", "control"), "with --perturbation-key, and its value"),
        (("--model", "scvi"), "invalid choice: 'scvi'"),
        ((*HOW, "--code", "binary"), "invalid choice: 'binary'"),
        ((*HOW, "--holdout", "gene_70"), "Did you mean 'gene_7'"),
        ((*HOW, "--control", "ctrl"), "No value 'ctrl' in obs['perturbation']"),
        ((*HOW, "--layer", "counts"), "--normalize"),
    ],
)
def test_bad_input_is_refused_before_training(dko, store, perturbations, tmp_path, kept, monkeypatch, words, says):
    def never(*_, **__):
        raise AssertionError("Training has begun.")

    monkeypatch.setattr("dko.models.sccvae._fit.fit", never)
    source = store(perturbations, "in.h5ad")
    with kept:
        assert says in dko("fit", source, "--out", tmp_path / "out.h5ad", *words).error


def test_the_strongest_of_many_perturbations_are_shown(perturbed):
    n = 30
    names = [f"gene_{number}" for number in range(n)]
    table = pd.DataFrame({"perturbation": names, "n_cells": 25, "role": "trained", "strength": np.arange(n) / 10})
    table.loc[0, "role"] = "held out"
    perturbed.uns["dko"]["perturbations"] = table
    lines = perturbation_table(perturbed, key="dko").splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == [*names[:10:-1], "gene_0"]
    assert lines[-1] == "... and 10 more, in uns['dko']['perturbations']."


def test_commands_of_the_other_model_are_refused(dko, perturbed_file, tmp_path, kept):
    says = "is of --model sccvae, and this command needs one of --model dko; for this one there are `dko ko`"
    with kept:
        assert says in dko("scan", perturbed_file, "--out", tmp_path / "out.h5ad", "--quiet").error
