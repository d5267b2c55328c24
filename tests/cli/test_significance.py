"""``dko rank``, ``dko affected`` and ``dko interactions``: the same as in Python, from files."""

from __future__ import annotations

import pandas as pd
import pytest

import dko as package
from dko.cli._significance_tables import affected_table, interaction_table, rank_table
from dko.io._files import read_any

QUIET = "--quiet"


@pytest.fixture
def scanned(fitted):
    """80 cells x 20 genes with a scan."""
    package.tl.scan(fitted)
    return fitted


def read(path, ending):
    return read_any(path)["rna"] if ending == ".h5mu" else read_any(path)


def same_as_file(table, path):
    """Names come back as text."""
    written = pd.read_csv(path)
    if "mark" in written:
        written["mark"] = written["mark"].fillna("")
    names = table.select_dtypes("category").columns
    pd.testing.assert_frame_equal(written, table.astype(dict.fromkeys(names, object)), check_dtype=False)


@pytest.mark.parametrize("ending", [".h5ad", ".h5mu"])
def test_rank(dko, store, scanned, tmp_path, ending):
    source, out, csv = store(scanned, f"in{ending}"), tmp_path / f"out{ending}", tmp_path / "ranking.csv"
    words = ("--groupby", "cell_type", "--by", "specificity", "--rng", "3", "--table", csv, QUIET)
    ran = dko("rank", source, "--out", out, *words)
    assert ran.code == 0 and ran.err == "", ran
    package.tl.rank_genes(scanned, groupby="cell_type", by="specificity", rng=3)
    table = package.get.ranking(scanned, groupby="cell_type")
    pd.testing.assert_frame_equal(package.get.ranking(read(out, ending), groupby="cell_type"), table)
    same_as_file(table, csv)
    assert ran.out == f"{rank_table(table)}\n"


def test_rank_in_some_groups(dko, store, scanned, tmp_path):
    source, out = store(scanned, "in.h5ad"), tmp_path / "out.h5ad"
    assert dko("rank", source, "--out", out, "--groupby", "cell_type", "--groups", "B", QUIET).code == 0
    assert set(package.get.ranking(read_any(out), groupby="cell_type")["group"]) == {"B"}


@pytest.mark.parametrize("ending", [".h5ad", ".zarr"])
def test_affected(dko, store, fitted, tmp_path, ending):
    source, out, csv = store(fitted, f"in{ending}"), tmp_path / f"out{ending}", tmp_path / "affected.csv"
    ran = dko("affected", source, "gene_3", "HSPA1A/B", "--out", out, "--rng", "1", "--table", csv, QUIET)
    assert ran.code == 0 and ran.err == "", ran
    package.tl.affected_genes(fitted, ["gene_3", "HSPA1A/B"], rng=1)
    table = package.get.affected_genes(fitted)
    same_as_file(package.get.affected_genes(read_any(out)), csv)
    same_as_file(table, csv)
    assert ran.out == f"{affected_table(table)}\n"


@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_interactions(dko, fitted_file, fitted, tmp_path, groupby):
    out, csv = tmp_path / "out.h5ad", tmp_path / "pairs.csv"
    genes = ("gene_3", "gene_4", "HSPA1A/B")
    words = ("--permutations", "10", "--table", csv, QUIET, *(() if groupby is None else ("--groupby", groupby)))
    ran = dko("interactions", fitted_file, *genes, "--out", out, *words)
    assert ran.code == 0 and ran.err == "", ran
    package.tl.interactions(fitted, genes, n_permutations=10, groupby=groupby)
    table = package.get.interactions(fitted)
    same_as_file(table, csv)
    assert ran.out == f"{interaction_table(table)}\n"


def test_first_genes_are_printed():
    names = [f"gene_{number}" for number in range(12)]
    ranks = pd.DataFrame({"gene": names, "downstream_mean": 0.5, "pval_adj": [0.01, 0.05, *[0.2] * 10], "n_cells": 30})
    lines = rank_table(ranks).splitlines()
    assert "up to 0.05 for 2 of 12)" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == names[:10]
    grouped = pd.concat([ranks.assign(group="B"), ranks.assign(group="A")])
    lines = rank_table(grouped).splitlines()
    assert [line.split()[:2] for line in lines[3:]] == [[group, name] for group in "AB" for name in names[:3]]


def test_pairs_that_interact_are_counted_and_listed():
    pairs = pd.DataFrame(
        {
            "gene_a": [f"a{number}" for number in range(24)],
            "gene_b": "b",
            "class": ["additive", *["synergy"] * 12, *["buffering"] * 11],
            "z": [9.0, *range(1, 24)],
            "pval_adj": 0.01,
        }
    )
    lines = interaction_table(pairs).splitlines()
    assert lines[0].startswith("Pairs of genes: 12 synergy, 11 buffering, 1 additive (")
    assert [line.split()[0] for line in lines[2:-1]] == [f"a{number}" for number in range(23, 3, -1)]
    assert lines[-1] == "... and 3 more."
    assert interaction_table(pairs.iloc[:1]) == "Pairs of genes: 1 additive."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rank",), "No scan in adata.layers['dko_impact']"),
        (("affected", "CD74"), "No gene 'CD74' in var_names."),
        (("interactions", "gene_3"), "gene"),
        (
            ("affected", "gene_3", "--table", "out.h5ad"),
            "--out and --table are one file, 'out.h5ad'; they have to be different files.",
        ),
        (("affected", "gene_3", "--table", "nowhere/a.csv"), "The folder 'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_line(dko, fitted_file, words, says, kept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command, *rest = words
    with kept:
        assert says in dko(command, fitted_file, "--out", "out.h5ad", *rest, QUIET).error


@pytest.mark.parametrize("command", ["rank", "affected", "interactions"])
def test_of_the_first_model_only(dko, perturbed_file, tmp_path, command):
    genes = () if command == "rank" else ("gene_3", "gene_4")
    error = dko(command, perturbed_file, *genes, "--out", tmp_path / "out.h5ad", QUIET).error
    assert "is of --model sccvae, and this command needs one of --model dko" in error and "`dko report`" in error
