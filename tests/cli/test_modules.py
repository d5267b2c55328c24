from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko.cli._perturbation_tables import module_table
from dko.io._files import read_any


@pytest.mark.parametrize("ending", [".h5ad", ".h5mu"])
def test_same_as_in_python(dko, store, perturbed, tmp_path, ending):
    """Also of a perturbation that was kept out of the fit, and of genes together."""
    source, out = store(perturbed, f"in{ending}"), tmp_path / f"out{ending}"
    words = ("--genes", "gene_21,gene_36+gene_7,gene_15,gene_23", "--resolution", "1.5", "--rng", "3", "--quiet")
    ran = dko("modules", source, "--out", out, *words)
    assert ran.code == 0 and ran.err == "", ran
    genes = ["gene_21", ("gene_36", "gene_7"), "gene_15", "gene_23"]
    package.tl.perturbation_modules(perturbed, genes, resolution=1.5, rng=3)
    table = package.get.modules(perturbed)
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    pd.testing.assert_frame_equal(package.get.modules(after), table)
    assert ran.out == f"{module_table(perturbed, key='dko')}\n"
    assert table.set_index("perturbation")["is_unseen"].to_dict() == {
        "gene_21": True,
        "gene_36+gene_7": True,
        "gene_15": False,
        "gene_23": False,
    }


def test_all_trained_perturbations_by_default(dko, perturbed_file, perturbed, tmp_path):
    out = tmp_path / "out.h5ad"
    assert dko("modules", perturbed_file, "--out", out, "--quiet").code == 0
    roles = perturbed.uns["dko"]["perturbations"].set_index("perturbation")["role"]
    assert set(package.get.modules(read_any(out))["perturbation"]) == set(roles.index[roles == "trained"])


def test_knockouts_of_the_first_model_are_grouped_too(dko, fitted_file, fitted, tmp_path):
    out, genes = tmp_path / "out.h5ad", ["gene_2", "gene_3", "gene_4", "gene_5"]
    ran = dko("modules", fitted_file, "--out", out, "--genes", ",".join(genes), "--quiet")
    assert ran.code == 0, ran
    package.tl.perturbation_modules(fitted, genes)
    pd.testing.assert_frame_equal(package.get.modules(read_any(out)), package.get.modules(fitted))


def test_modules_are_listed_with_their_strongest_members_and_marks(perturbed):
    names = [f"gene_{number}" for number in range(8)]
    table = pd.DataFrame(
        {
            "perturbation": names,
            "module": ["2", *["1"] * 5, "no effect", "no effect"],
            "strength": [3.0, 0.1, 0.5, 0.4, 0.3, 0.2, 0.02, 0.04],
            "umap_1": 0.0,
            "umap_2": 0.0,
        }
    )
    markers = pd.DataFrame(
        {
            "module": ["1", "1", "2"],
            "gene": ["A", "B", "C"],
            "change": [0.5, -0.5, -0.1],
            "others": [0.1, 0.3, np.nan],
        }
    )
    perturbed.uns["dko_modules"] = {"table": table, "markers": markers}
    lines = module_table(perturbed, key="dko").splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["1", "5", "0.3000", "gene_2", "gene_3", "gene_4", "gene_5", "and", "1", "more", "+A", "-B"],
        ["2", "1", "3.0000", "gene_0", "-C"],
        ["no", "effect", "2", "0.0300", "gene_7", "gene_6"],
    ]


def test_what_is_not_installed_is_said(dko, perturbed_file, tmp_path, kept, monkeypatch):
    def lacks(*_, **__):
        raise ImportError("It needs igraph; pip install 'scanpy[leiden]'.")

    monkeypatch.setattr("dko.tl.perturbation_modules", lacks)
    with kept:
        ran = dko("modules", perturbed_file, "--out", tmp_path / "out.h5ad", "--quiet")
    assert ran.error == "It needs igraph; pip install 'scanpy[leiden]'."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--genes", "gene_7"), "Modules are of several perturbations, got 1."),
        (("--genes", "gene_7,CD74"), "No gene 'CD74' in what this model can perturb."),
        (("--resolution", "0"), "--resolution 0.0 must be above 0"),
    ],
)
def test_bad_input_is_refused(dko, perturbed_file, tmp_path, kept, words, says):
    with kept:
        assert says in dko("modules", perturbed_file, "--out", tmp_path / "out.h5ad", "--quiet", *words).error
