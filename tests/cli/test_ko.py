from __future__ import annotations

import numpy as np
import pytest

import dko as package
from dko.io._files import read_any

SLASH = "HSPA1A/B"


@pytest.mark.parametrize("ending", [".h5ad", ".zarr", ".h5mu"])
def test_same_as_in_python(dko, store, fitted, tmp_path, ending):
    source, out = store(fitted, f"in{ending}"), tmp_path / f"out{ending}"
    ran = dko("ko", source, SLASH, "gene_4+gene_3", "--out", out, "--quiet")
    assert ran.code == 0 and ran.err == ""
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    package.tl.virtual_ko(fitted, [SLASH, ("gene_3", "gene_4")])
    np.testing.assert_array_equal(package.get.impact(after), package.get.impact(fitted))
    for name in ("dko_ko_HSPA1A%2FB", "dko_ko_gene_3+gene_4"):
        np.testing.assert_array_equal(after.layers[name].toarray(), fitted.layers[name].toarray())
    impact = package.get.impact(fitted)
    rows = [line.split() for line in ran.out.splitlines()[2:]]
    assert [row[0] for row in rows] == [SLASH, "gene_3+gene_4"]
    assert [int(row[1]) for row in rows] == impact.notna().sum().tolist()
    np.testing.assert_allclose([float(row[2]) for row in rows], impact.mean(), atol=6e-5)


def test_options_reach_the_knockout(dko, fitted_file, fitted, tmp_path):
    out = tmp_path / "out.h5ad"
    words = ("--dose", "0.5", "--no-profiles", "--groups", "cell_type=CD4/CD8 T", "--quiet")
    assert dko("ko", fitted_file, "gene_3", "--out", out, *words).code == 0
    after = read_any(out)
    groups = {"cell_type": "CD4/CD8 T"}
    package.tl.virtual_ko(fitted, "gene_3", dose=0.5, profiles=False, groups=groups)
    np.testing.assert_array_equal(package.get.impact(after), package.get.impact(fitted))
    assert not after.layers


def test_groups_of_the_fit_go_by_name(dko, grouped_file, tmp_path):
    out = tmp_path / "out.h5ad"
    assert dko("ko", grouped_file, "gene_3", "--out", out, "--groups", "B", "--quiet").code == 0
    after = read_any(out)
    assert set(after.obs["cell_type"][package.get.impact(after)["gene_3"].notna()]) == {"B"}


def test_only_the_knockouts_of_this_call_are_printed(dko, store, fitted, tmp_path):
    package.tl.virtual_ko(fitted, "gene_5")
    ran = dko("ko", store(fitted, "in.h5ad"), "gene_3", "gene_3", "--out", tmp_path / "out.h5ad", "--quiet")
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["gene_3"]
    assert {"gene_3", "gene_5"} == set(package.get.impact(read_any(tmp_path / "out.h5ad")))


@pytest.mark.parametrize("ending", [".h5ad", ".h5mu"])
def test_perturbations_of_control_cells(dko, store, perturbed, tmp_path, ending):
    """Of a gene that is not measured, of one that was kept out of the fit, and of both."""
    hidden, unseen = "gene_36", "gene_21"
    source, out = store(perturbed, f"in{ending}"), tmp_path / f"out{ending}"
    words = ("--dose", "0.7", "--mixture", "--rng", "3", "--quiet")
    ran = dko("ko", source, hidden, unseen, f"{hidden}+{unseen}", "--out", out, *words)
    assert ran.code == 0 and ran.err == "", ran
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    package.tl.virtual_ko(perturbed, [hidden, unseen, (hidden, unseen)], dose=0.7, mixture=True, rng=3)
    impact = package.get.impact(perturbed)
    np.testing.assert_array_equal(package.get.impact(after), impact)
    lines = ran.out.splitlines()
    assert lines[0] == "Impact of each knockout in unperturbed cells"
    assert [line.split()[0] for line in lines[2:]] == list(impact) and hidden not in perturbed.var_names
    np.testing.assert_allclose([float(line.split()[2]) for line in lines[2:]], impact.mean(), atol=6e-5)
    share = (impact[hidden].dropna() > 0).mean()
    assert 0.4 < share < 0.9, "some of the cells escape"


def test_a_gene_that_the_model_cannot_perturb_is_named(dko, perturbed_file, tmp_path, kept):
    with kept:
        ran = dko("ko", perturbed_file, "gene_7+CD74", "--out", tmp_path / "out.h5ad", "--quiet")
    assert "No gene 'CD74' in what this model can perturb." in ran.error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("gen_3",), "No gene 'gen_3' in var_names. Did you mean 'gene_3'"),
        (("gene_3+gen_4",), "No gene 'gen_4' in var_names."),
        (("gene_3", "--mixture"), "--mixture is for --model sccvae"),
        (("gene_3", "--dose", "2"), "--dose 2.0 must be above 0 and at most 1"),
        (("gene_3", "--groups", "B"), "'B' names no column; write COLUMN=B"),
        (("gene_3", "--groups", "cell_typ=B"), "Did you mean 'cell_type'"),
        (("gene_3", "--groups", "cell_type=C"), "No group 'C' in obs['cell_type']."),
    ],
)
def test_bad_input_is_refused(dko, fitted_file, tmp_path, kept, words, says):
    with kept:
        assert says in dko("ko", fitted_file, *words, "--out", tmp_path / "out.h5ad", "--quiet").error
