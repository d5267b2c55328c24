from __future__ import annotations

import numpy as np
import pytest

import dko as package
from dko.io._files import read_any

QUICK = ("--max-epochs", "2", "--learning-rate", "0.01", "--quiet")


@pytest.mark.parametrize("ending", [".h5ad", ".zarr", ".h5mu"])
def test_same_as_in_python(dko, store, cells, tmp_path, ending):
    source, out = store(cells, f"in{ending}"), tmp_path / f"out{ending}"
    before = read_any(source)
    ran = dko("fit", source, "--out", out, "--test-fraction", "0.2", "--rng", "3", *QUICK)
    assert ran.code == 0 and ran.err == ""
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["model", "gene"]
    assert "16 test cells" in ran.out
    package.tl.fit(before, test_fraction=0.2, rng=3, max_epochs=2, learning_rate=0.01, progress=False)
    after = read_any(out)
    if ending == ".h5mu":
        before, after = before["rna"], after["rna"]
    for name, weights in before.uns["dko"]["weights"].items():
        np.testing.assert_array_equal(after.uns["dko"]["weights"][name], weights)
    assert list(after.obs["dko_split"]) == list(before.obs["dko_split"])
    np.testing.assert_array_equal(after.X.toarray(), before.X.toarray())


def test_options_reach_the_fit(dko, store, cells, tmp_path):
    cells.layers["counts"] = cells.X.copy()
    cells.X = cells.X * 0.5
    source, out = store(cells, "in.h5ad"), tmp_path / "out.h5ad"
    (tmp_path / "genes.txt").write_text("\n".join(cells.var_names[:15]))
    choice = ("--layer", "counts", "--groupby", "cell_type", "--genes", f"@{tmp_path}/genes.txt", "--no-log1p")
    steps = ("--max-steps", "4", "--batch-size", "8", "--learning-rate", "0.02", "--patience", "7")
    shares = ("--validation-fraction", "0.3", "--test-fraction", "0.1", "--rng", "5", "--key", "mine")
    assert dko("fit", source, "--out", out, *choice, *steps, *shares, "--quiet").code == 0
    stored = read_any(out).uns["mine"]
    assert list(stored["genes"]) == list(cells.var_names[:15])
    assert list(stored["groups"]) == ["B", "CD4/CD8 T"]
    expected = {"layer": "counts", "groupby": "cell_type", "max_steps": 4, "batch_size": 8, "learning_rate": 0.02}
    expected |= {"patience": 7, "validation_fraction": 0.3, "test_fraction": 0.1, "rng": 5, "log1p": False}
    assert {name: stored["params"][name] for name in expected} == expected


@pytest.mark.parametrize("kind", ["network", "effects"])
def test_a_prior_is_read_from_a_table(dko, store, cells, tmp_path, kind):
    source, out, file = store(cells, "in.h5ad"), tmp_path / "out.h5ad", tmp_path / "prior.csv"
    file.write_text({"network": "source,target,weight\ngene_3,gene_9,1\n", "effects": ",gene_9\ngene_3,-1.5\n"}[kind])
    assert dko("fit", source, "--out", out, "--prior", file, *QUICK).code == 0
    params = read_any(out).uns["dko"]["params"]
    assert (params["prior"], params["prior_effects"]) == ({"network": kind, "effects": "measured effects"}[kind], 1)
    ran = dko("fit", source, "--out", out, "--prior", tmp_path / "nowhere.csv", "--force", *QUICK)
    assert (ran.code, ran.err.count("\n")) == (2, 1) and "There is no file" in ran.err


def test_groups_are_compared_with_the_means_of_their_own_cells(dko, raw_file, tmp_path):
    ran = dko("fit", raw_file, "--out", tmp_path / "out.h5ad", "--groupby", "cell_type", *QUICK)
    assert "gene mean per cell_type" in ran.out and "16 validation cells" in ran.out


def test_messages_go_to_stderr(dko, raw_file, tmp_path):
    ran = dko("fit", raw_file, "--out", tmp_path / "out.h5ad", "--max-steps", "2")
    assert "taken as counts" in ran.err and ran.err.endswith(f"Wrote {tmp_path / 'out.h5ad'}.\n")
    assert "counts" not in ran.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--genes", "gene_3,gen_4"), "No gene 'gen_4' in var_names. Did you mean 'gene_4'"),
        (("--layer", "count"), "No layer 'count' in adata.layers."),
        (("--groupby", "cell_typ"), "Did you mean 'cell_type'"),
        (("--use-raw",), "adata.raw is empty"),
        (("--max-steps", "0"), "--max-steps 0 must be"),
        (("--validation-fraction", "1.5"), "--validation-fraction 1.5 must lie between 0 and 1"),
        (("--device", "abacus"), "--device abacus cannot be used here"),
    ],
)
def test_bad_input_is_refused_before_training(dko, raw_file, tmp_path, kept, monkeypatch, words, says):
    def never(*_, **__):
        raise AssertionError("Training has begun.")

    monkeypatch.setattr("dko.models.assemblage.fit", never)
    with kept:
        assert says in dko("fit", raw_file, "--out", tmp_path / "out.h5ad", "--quiet", *words).error


def test_values_that_are_no_expression_are_refused(dko, store, cells, tmp_path):
    cells.X = cells.X * -1.0
    ran = dko("fit", store(cells, "in.h5ad"), "--out", tmp_path / "out.h5ad", "--quiet")
    assert "has a negative value (scaled data?)" in ran.error
