from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package

QUICK = ("--max-steps", "10", "--quiet")
FILES = {"mapping_true.csv", "mapping_prediction.csv", "Impact_results.csv", "Impact_results_doubleKO.csv"}


@pytest.fixture
def table(cells, tmp_path):
    """Genes x cells without a header, 20 x 80; gene 19 is expressed nowhere."""
    values = cells.X.toarray().T
    values[19] = 0
    path = tmp_path / "Ptrain.csv"
    pd.DataFrame(values).to_csv(path, header=False, index=False)
    return path


def test_all_tables(dko, table, cells, tmp_path):
    out = tmp_path / "results"
    ran = dko("reproduce", table, "--out", out, "--n-samples", "200", *QUICK)
    assert ran.code == 0 and ran.err == ""
    assert {path.name for path in out.iterdir()} == FILES
    assert "16 test cells" in ran.out and "all entries" in ran.out.splitlines()[1]
    true = pd.read_csv(out / "mapping_true.csv", header=None)
    predicted = pd.read_csv(out / "mapping_prediction.csv", header=None)
    assert len(true) == len(predicted) == 16
    np.testing.assert_allclose(true.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(true > 0, predicted > 0)
    single = pd.read_csv(out / "Impact_results.csv")
    present = np.delete(cells.X.toarray(), 19, axis=1) > 0
    assert list(single) == ["gene_id", "cell_id", "k_pred"] and len(single) == present.sum()
    double = pd.read_csv(out / "Impact_results_doubleKO.csv")
    assert list(double) == ["gene1_id", "gene2_id", "cell_id", "k_pred"] and len(double.drop_duplicates()) == 200
    assert (double["gene1_id"] < double["gene2_id"]).all()
    pairs = double[["cell_id", "gene1_id", "gene2_id"]].to_numpy().T
    assert present[pairs[0], pairs[1]].all() and present[pairs[0], pairs[2]].all()


def test_same_as_in_python(dko, table, tmp_path):
    dko("reproduce", table, "--out", tmp_path, "--n-samples", "50", "--rng", "4", *QUICK)
    adata = package.io.read_reference(table)
    package.tl.fit(adata, preset="paper", max_steps=10, rng=4, progress=False)
    package.tl.scan(adata)
    package.tl.double_ko(adata, n_samples=50, rng=4)
    single, double = (pd.read_csv(tmp_path / name)["k_pred"] for name in sorted(FILES)[:2])
    np.testing.assert_allclose(single, package.get.impact_table(adata)["impact"], rtol=1e-6)
    np.testing.assert_allclose(double, package.get.pairs(adata)["impact"], rtol=1e-6)


def test_choice_of_genes_and_cells(dko, table, tmp_path):
    dko("reproduce", table, "--out", tmp_path, "--genes", "5,0,7", "--cells", "2,1,3,4,5,6", *QUICK)
    single = pd.read_csv(tmp_path / "Impact_results.csv")
    double = pd.read_csv(tmp_path / "Impact_results_doubleKO.csv")
    assert set(single["gene_id"]) == {0, 5, 7} and set(single["cell_id"]) <= {1, 2, 3, 4, 5, 6}
    assert set(zip(double["gene1_id"], double["gene2_id"], strict=True)) <= {(0, 5), (0, 7), (5, 7)}
    assert len(double) and set(double["cell_id"]) <= set(single["cell_id"])


def test_one_gene_has_no_pairs(dko, table, tmp_path):
    ran = dko("reproduce", table, "--out", tmp_path / "results", "--genes", "5", *QUICK)
    assert ran.code == 0
    assert {path.name for path in (tmp_path / "results").iterdir()} == FILES - {"Impact_results_doubleKO.csv"}


def test_earlier_run_is_not_replaced_unasked(dko, table, tmp_path, kept):
    (tmp_path / "Impact_results.csv").write_text("old")
    with kept:
        error = dko("reproduce", table, "--out", tmp_path, *QUICK).error
    assert error == f"'{tmp_path}' holds 'Impact_results.csv' of an earlier run; add --force to replace it."
    assert dko("reproduce", table, "--out", tmp_path, "--force", *QUICK).code == 0
    assert (tmp_path / "Impact_results.csv").read_text() != "old"


def test_tables_of_an_earlier_run_do_not_stay_among_the_new(dko, table, tmp_path, kept):
    out = tmp_path / "results"
    words = ("reproduce", table, "--out", out, "--force", *QUICK)
    assert dko(*words).code == 0
    assert {path.name for path in out.iterdir()} == FILES
    with kept:  # a check fails
        assert "No gene '99'" in dko(*words, "--genes", "99").error
        assert "--max-steps 0" in dko(*words, "--max-steps", "0").error
    (out / "notes.txt").write_text("mine")
    assert dko(*words, "--genes", "5").code == 0
    assert {path.name for path in out.iterdir()} == FILES - {"Impact_results_doubleKO.csv"} | {"notes.txt"}


def test_each_table_is_written_once(dko, table, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("dko.io._reference.write_table", lambda table, path, **how: written.append(path.name))
    assert dko("reproduce", table, "--out", tmp_path / "results", *QUICK).code == 0
    assert sorted(written) == sorted(FILES)


def test_single_knockouts_are_kept_when_double_ones_fail(dko, table, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("No pairs today.")

    monkeypatch.setattr("dko.tl.double_ko", fails)
    ran = dko("reproduce", table, "--out", tmp_path / "results", *QUICK)
    assert ran.code == 2 and ran.err == "dko: error: No pairs today.\n"
    assert {path.name for path in (tmp_path / "results").iterdir()} == FILES - {"Impact_results_doubleKO.csv"}


def test_chosen_cells_that_lack_the_chosen_genes_are_refused_before_fitting(dko, table, cells, tmp_path, kept):
    absent = np.flatnonzero(cells.X[:, 5].toarray().ravel() == 0)[:2]
    words = ("--genes", "5", "--cells", ",".join(map(str, absent)))
    with kept:
        error = dko("reproduce", table, "--out", tmp_path / "results", *QUICK, *words).error
    assert error == "No chosen cell expresses a chosen gene, so there is nothing to knock out."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--genes", "0,99"), "No gene '99' in '{table}'; its genes are 0 to 19."),
        (("--cells", "80"), "No cell '80' in '{table}'; its cells are 0 to 79."),
        (("--genes", "19"), "No cell expresses gene '19', so it cannot be knocked out."),
        (("--n-samples", "0"), "--n-samples 0 must be at least 1."),
        (("--out", "{table}"), "There is no folder '{table}', and it cannot be made; choose another."),
        (("--out", "nowhere/results"), "There is no folder 'nowhere/results', and it cannot be made; choose another."),
    ],
)
def test_bad_input_is_refused_before_fitting(dko, table, tmp_path, kept, words, says):
    words = [word.format(table=table) for word in words]
    with kept:
        assert dko("reproduce", table, "--out", tmp_path / "results", "--quiet", *words).error == says.format(
            table=table
        )


def test_table_that_is_none(dko, table, tmp_path, kept):
    with kept:
        assert "There is no file" in dko("reproduce", tmp_path / "gone.csv", "--out", tmp_path, "--quiet").error
    table.write_text("gene,cell_1\nA,1\n")
    with kept:
        error = dko("reproduce", table, "--out", tmp_path / "results", "--quiet").error
    assert "is not a comma-separated table of numbers without a header (genes x cells)" in error


@pytest.mark.slow
def test_reference_is_reproduced(dko, reference_data, tmp_path):
    folder = reference_data / "reference"
    assert dko("reproduce", folder / "Ptrain.csv.gz", "--out", tmp_path, "--quiet").code == 0
    ours, published = (
        pd.read_csv(path) for path in (tmp_path / "Impact_results.csv", folder / "Impact_results.csv.gz")
    )
    both = ours.merge(published, on=["gene_id", "cell_id"])
    assert len(both) == len(published) == 39_343
    assert both["k_pred_x"].corr(both["k_pred_y"], method="spearman") >= 0.975
    assert len(pd.read_csv(tmp_path / "Impact_results_doubleKO.csv")) == 50_000
