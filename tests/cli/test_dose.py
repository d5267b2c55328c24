from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko.io._files import read_any

DOSES = [0.0, 0.5, 1.0]


def numbers(ran, n_words=1):
    """The printed rows without the name of the knockout."""
    return np.array([line.split()[n_words:] for line in ran.out.splitlines()[3:]], dtype=float)


@pytest.mark.parametrize("ending", [".h5ad", ".h5mu"])
def test_same_as_in_python(dko, store, perturbed, tmp_path, ending):
    source, out = store(perturbed, f"in{ending}"), tmp_path / f"out{ending}"
    words = ("--doses", "1,0,0.5", "--mixture", "--rng", "3", "--quiet")
    ran = dko("dose", source, "gene_36", "gene_7+gene_36", "--out", out, *words)
    assert ran.code == 0 and ran.err == "", ran
    genes = ["gene_36", ("gene_7", "gene_36")]
    package.tl.dose_response(perturbed, genes, doses=DOSES, mixture=True, rng=3)
    table = package.get.dose_response(perturbed)
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    pd.testing.assert_frame_equal(package.get.dose_response(after), table)
    assert ran.out.startswith("Each knockout in unperturbed cells (dose: share of cells with the knockout;")
    assert max(map(len, ran.out.splitlines())) <= 112
    assert [line.split()[0] for line in ran.out.splitlines()[3:]] == table["knockout"].to_list()
    columns = ["dose", "impact_mean", "impact_q25", "impact_q75", "distance", "n_changed", "n_cells"]
    np.testing.assert_allclose(numbers(ran), table[columns].to_numpy(dtype=float), atol=6e-5)


def test_the_model_of_assemblages_has_doses_too(dko, grouped_file, grouped, tmp_path):
    out = tmp_path / "out.h5ad"
    ran = dko("dose", grouped_file, "gene_3", "--doses", "0,1", "--groups", "B", "--out", out, "--quiet")
    assert ran.code == 0, ran
    package.tl.dose_response(grouped, "gene_3", doses=[0, 1], groups=["B"])
    pd.testing.assert_frame_equal(package.get.dose_response(read_any(out)), package.get.dose_response(grouped))
    assert ran.out.startswith("Each knockout in the cells that express it (dose: in every cell;")
    assert (
        numbers(ran)[1, -1]
        == (grouped.obs["cell_type"] == "B").to_numpy()[grouped[:, "gene_3"].X.toarray().ravel() > 0].sum()
    )


def test_all_doses_by_default_and_more_if_allowed(dko, perturbed_file, tmp_path):
    words = ("dose", perturbed_file, "gene_7", "--out", tmp_path / "out.h5ad", "--force", "--quiet")
    assert numbers(dko(*words))[:, 0].tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert numbers(dko(*words, "--doses=-0.5,2", "--extrapolate"))[:, 0].tolist() == [-0.5, 2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("gene_7", "--doses", "0,2"), "The dose 2 is outside 0 (no knockout) to 1"),
        (("gene_7", "--doses", "0,2", "--mixture", "--extrapolate"), "The dose 2 is outside 0"),
        (("gen_7",), "No gene 'gen_7' in what this model can perturb. Did you mean 'gene_7'"),
        (("gene_7", "--groups", "perturbation=gene_7"), "None of the chosen cells is a control cell"),
        (("gene_7", "--key", "other"), "holds no fit named 'other'"),
    ],
)
def test_bad_input_is_refused(dko, perturbed_file, tmp_path, kept, words, says):
    with kept:
        assert says in dko("dose", perturbed_file, *words, "--out", tmp_path / "out.h5ad", "--quiet").error
