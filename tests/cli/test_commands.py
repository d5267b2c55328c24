"""Each command does from files what its verb does in Python, and prints the tables of the report."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko.cli._commands import COMMANDS, command
from dko.io._files import read_any

SLASH = "HSPA1A/B"
SCREEN = ("--model", "sccvae", "--perturbation-key", "perturbation", "--control", "control", "--quiet")
COMMON = {"out", "key", "mod", "force", "quiet", "debug"}


def read(path):
    data = read_any(path)
    return data["rna"] if path.suffix == ".h5mu" else data


def column(ran, name, caption=None):
    """The first words, in a printed table, of the rows below a header that starts so."""
    lines = ran.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == [name])
    rows = lines[start + 1 :]
    return [
        row.split()[0] for row in rows[: next((n for n, row in enumerate(rows) if row[:1] in ("", " ")), len(rows))]
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_the_parameters_of_the_verb(name):
    options = set(signature(command(name)).parameters)
    assert options >= (COMMON if name != "plan" else COMMON - {"out", "key"})
    assert not {"adata", "copy", "progress", "covariates", "key_added"} & options


@pytest.mark.parametrize("ending", [".zarr", ".h5mu"])
def test_fit(dko, store, cells, tmp_path, ending):
    source, out = store(cells, f"in{ending}"), tmp_path / f"out{ending}"
    words = ("--test-fraction", "0.2", "--rng", "3", "--max-epochs", "2", "--learning-rate", "0.01")
    ran = dko("fit", source, "--out", out, *words, "--groupby", "cell_type", "--no-log1p")
    assert ran.code == 0 and "Values of X" in ran.err, ran
    assert ran.err.endswith(f"Wrote {out}. Next: dko ko {out} GENE --out ko.h5ad\n") and "Wrote" not in ran.out
    assert "Profiles of 16 test cells" in ran.out and "gene mean per cell_type" in ran.out
    how: dict[str, Any] = {"test_fraction": 0.2, "rng": 3, "max_epochs": 2, "learning_rate": 0.01, "progress": False}
    package.tl.fit(cells, groupby="cell_type", log1p=False, **how)
    after = read(out)
    for name, weights in cells.uns["dko"]["weights"].items():
        np.testing.assert_array_equal(after.uns["dko"]["weights"][name], weights)
    assert list(after.obs["dko_split"]) == list(cells.obs["dko_split"])
    np.testing.assert_array_equal(after.X.toarray(), cells.X.toarray())


def test_options_reach_the_fit(dko, store, cells, tmp_path):
    cells.layers["counts"] = cells.X.copy()
    source, out = store(cells, "in.h5ad"), tmp_path / "out.h5ad"
    (tmp_path / "genes.txt").write_text("\n".join(cells.var_names[:15]) + "\n\n")
    (tmp_path / "prior.csv").write_text("source,target,weight\ngene_3,gene_9,1\n")
    choice = ("--layer", "counts", "--genes", f"@{tmp_path}/genes.txt", "--prior", tmp_path / "prior.csv")
    steps = ("--max-steps", "4", "--batch-size", "8", "--patience", "7", "--key", "mine")
    assert dko("fit", source, "--out", out, *choice, *steps, "--quiet").code == 0
    stored = read_any(out).uns["mine"]
    assert list(stored["genes"]) == list(cells.var_names[:15])
    expected = {"layer": "counts", "max_steps": 4, "batch_size": 8, "patience": 7, "prior": "network"}
    assert {name: stored["params"][name] for name in expected} == expected


def test_fit_of_perturbations(dko, store, perturbed, tmp_path):
    source, out = store(perturbed, "in.h5mu"), tmp_path / "out.h5mu"
    words = ("--features", "onehot", "--holdout", "gene_7,gene_21+gene_7", "--max-steps", "2", "--n-members", "1")
    ran = dko("fit", source, "--out", out, *SCREEN, *words, "--test-controls", "0.2", "--min-cells", "10")
    assert ran.code == 0 and ran.err == "", ran
    how: dict[str, Any] = {"model": "sccvae", "perturbation_key": "perturbation", "control": "control"}
    how |= {"features": "onehot", "holdout": ["gene_7", "gene_21+gene_7"], "max_steps": 2, "n_members": 1}
    package.tl.fit(perturbed, **how, test_controls=0.2, min_cells=10, progress=False)
    after = read(out)
    for name, weights in perturbed.uns["dko"]["weights"].items():
        np.testing.assert_array_equal(after.uns["dko"]["weights"][name], weights)
    assert "5 trained, 2 held out, 0 dropped" in ran.out and "Best validation loss: " in ran.out
    assert set(column(ran, "perturbation")) == set(perturbed.uns["dko"]["perturbations"]["perturbation"])


GETTERS = {"ko": "impact", "dose": "dose_response", "scan": "ranking", "rank": "ranking", "affected": "affected_genes"}
KO_2 = f"virtual_ko(adata, ['{SLASH}', ('gene_3', 'gene_4')], dose=0.5, groups={{'cell_type': 'CD4/CD8 T'}})"
KO_3 = "virtual_ko(adata, ['gene_36', 'gene_21', ('gene_36', 'gene_7')], dose=0.7, mixture=True, rng=3)"
DOSES = "dose_response(adata, ['gene_36', ('gene_36', 'gene_7')], doses=[0, 0.5, 1], mixture=True, rng=3)"
BEYOND = "dose_response(adata, 'gene_7', doses=[-0.5, 2], extrapolate=True)"
PAIRS = "interactions(adata, ['gene_3', 'gene_4', 'gene_5'], n_permutations=10)"
RANK = "rank_genes(adata, groupby='cell_type', groups=['B'], exclude=['few cells'], rng=3)"
MODULES = "perturbation_modules(adata, ['gene_21', ('gene_36', 'gene_7'), 'gene_15', 'gene_23'], resolution=1.5, rng=3)"
# The cells, the words, the same in Python, and a column of what it leaves that is printed.
RUNS = [
    ("grouped", "ko gene_3 --no-profiles --groups B", "virtual_ko(adata, 'gene_3', profiles=False, groups='B')", ""),
    ("fitted", f"ko {SLASH} gene_4+gene_3 --dose 0.5 --groups cell_type=CD4/CD8@T", KO_2, ""),
    ("perturbed", "ko gene_36 gene_21 gene_36+gene_7 --dose 0.7 --mixture --rng 3", KO_3, ""),
    ("perturbed", "dose gene_36 gene_7+gene_36 --doses 1,0,0.5 --mixture --rng 3", DOSES, "knockout"),
    ("perturbed", "dose gene_7 --doses=-0.5,2 --extrapolate", BEYOND, "knockout"),
    ("fitted", "scan", "scan(adata)", ""),
    ("scanned", "rank --groupby cell_type --groups B --exclude few@cells --rng 3", RANK, "group"),
    ("fitted", f"affected gene_3 {SLASH} --rng 1", f"affected_genes(adata, ['gene_3', '{SLASH}'], rng=1)", "knockout"),
    ("fitted", "interactions gene_3 gene_4 gene_5 --n-permutations 10", PAIRS, ""),
    ("perturbed", "modules --genes gene_21,gene_36+gene_7,gene_15,gene_23 --resolution 1.5 --rng 3", MODULES, ""),
]


@pytest.mark.parametrize(("cells_of", "words", "call", "printed"), RUNS, ids=[run[1] for run in RUNS])
def test_commands_do_what_verbs_do(dko, store, request, tmp_path, cells_of, words, call, printed):
    adata = request.getfixturevalue("fitted" if cells_of == "scanned" else cells_of)
    if cells_of == "scanned":
        package.tl.scan(adata)
    command, *given = (word.replace("@", " ") for word in words.split())
    out, getter = tmp_path / "out.h5ad", getattr(package.get, GETTERS.get(command, command))
    ran = dko(command, store(adata, "in.h5ad"), *given, "--out", out, "--quiet")
    assert ran.code == 0 and ran.err == "" and ran.out, ran
    eval(f"tl.{call}", {"tl": package.tl, "adata": adata})
    pd.testing.assert_frame_equal(getter(read_any(out)), getter(adata))
    if printed:
        assert set(column(ran, printed)) == set(getter(adata)[printed].astype(str))


def test_scan_with_impacts_in_another_file(dko, fitted_file, fitted, tmp_path):
    out, impacts = tmp_path / "out.h5ad", tmp_path / "impacts.h5ad"
    assert dko("scan", fitted_file, "--out", out, "--impacts", impacts, "--quiet").out == ""
    cells = read_any(out)
    assert read_any(impacts).X.nnz == fitted.X.nnz and "dko_impact" not in cells.layers
    assert "dko_impact_mean" in cells.var


def test_evaluate(dko, store, screen, tmp_path, kept):
    table, source = tmp_path / "scores.csv", store(screen, "screen.h5ad")
    words = ("evaluate", source, "--perturbation-key", "knockout", "--control", "control", "--quiet")
    ran = dko(*words, "--out", table)
    assert ran.code == 0 and ran.err == "", ran
    package.tl.evaluate(screen, perturbation_key="knockout", control="control")
    summary = package.get.evaluation(screen)
    said = " ".join(ran.out.split())
    assert f"Means over {summary.attrs['n_perturbations']} reliable perturbations. Pearson of the model: " in said
    best = summary["pearson"].drop(["model", "measurement", "replicate"], errors="ignore").idxmax()
    assert f"above {best}: {summary.at[best, 'pearson_gain']:+.3f}" in said
    assert max(map(len, ran.out.splitlines())) <= 130
    written = pd.read_csv(table, index_col=["method", "perturbation"])
    pd.testing.assert_frame_equal(written, package.get.evaluation(screen, summary=False))
    with kept:
        ran = dko(*words, "--perturbations", "gene_6", "--no-baselines")
        assert (
            ran.code == 0 and column(ran, "method")[:1] == ["model"] and "over 1 reliable" in " ".join(ran.out.split())
        )
        assert "No value 'ctrl' in obs['knockout']" in dko(*words[:5], "ctrl", "--quiet").error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fit", "--genes", "gene_3,gen_4"), "No gene 'gen_4' in var_names. Did you mean 'gene_4'"),
        (("fit", "--genes", "gen_4,gene_3,xyz,gen_5"), "for 'gen_4', 'gene_5' or "),
        (("fit", "--genes", " , "), "names nothing"),
        (("fit", "--genes", "@gone.txt"), "There is no file 'gone.txt'"),
        (("fit", "--prior", "gone.csv"), "There is no file 'gone.csv'"),
        (("fit", "--layer", "count"), "No layer 'count' in adata.layers."),
        (("fit", "--validation-fraction", "1.5"), "--validation-fraction 1.5 must be above 0 and below 1"),
        (("fit", "--min-cells", "5"), "min_cells"),
        (("fit", "--control", "ctrl"), "--control ctrl needs --perturbation-key"),
        (("fit", "--out", "x.csv"), "is a table; name a file of cells"),
        (("ko", "gene_3+gen_4"), "No gene 'gen_4' in var_names."),
        (("ko", "gene_3", "--groups", "B"), "'B' names no column; write COLUMN=B"),
        (("ko", "gene_3", "--groups", "cell_typ=B"), "Did you mean 'cell_type'"),
        (("dose", "gene_3", "--doses", "0,x"), "--doses 0,x is not numbers separated by commas"),
        (("scan", "--genes", "gen_3"), "No gene 'gen_3' in var_names. Did you mean 'gene_3'"),
        (("rank",), "No scan in adata.layers['dko_impact']; run `dko scan` first."),
        (("report", "--out", "page.pdf"), "--out 'page.pdf' has to end in .html."),
        (("embedding", "--out", "page.html"), "No knockouts under key 'dko'; run `dko ko` or `dko scan` first."),
        (("report", "--out", "nowhere/page.html"), "The folder 'nowhere' does not exist"),
        (
            ("report", "--out", "page.html", "--key", "other"),
            "No fitted model in adata.uns['other']",
        ),
        (("report", "--out", "page.html", "--groupby", "cell_tipe"), "Did you mean 'cell_type'?"),
        (("modules", "--genes", "gene_7"), "Modules are of several knockouts, got 1"),
    ],
)
def test_bad_input_is_one_line(dko, fitted_file, tmp_path, kept, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    command, *rest = words
    out = () if "--out" in rest else ("--out", "out.h5ad")
    with kept:
        assert says in dko(command, fitted_file, *rest, *out, "--quiet").error


@pytest.mark.parametrize("command", ["scan", "rank", "affected", "interactions"])
def test_commands_of_models_that_scan(dko, perturbed_file, tmp_path, command):
    genes = ("gene_3", "gene_4") if command in ("affected", "interactions") else ()
    error = dko(command, perturbed_file, *genes, "--out", tmp_path / "out.h5ad", "--quiet").error
    assert "holds a model of kind 'sccvae', which this function does not support; use `dko ko`, `dko dose`" in error
