from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from scipy import sparse

import dko

from .. import paper as naive


def weights(adata, key="dko"):
    return adata.uns[key]["weights"]["influence"]


def test_fit_error_is_that_of_the_formula(fitted, layers_of):
    counts = fitted.X.toarray()
    observed = counts / counts.sum(axis=1, keepdims=True)
    predicted = np.array([naive.profile(layers_of(fitted), row > 0) for row in counts])
    np.testing.assert_allclose(fitted.obs["dko_fit_error"], np.abs(observed - predicted).sum(1) / 2, atol=1e-5)
    validation = (fitted.obs["dko_split"] == "validation").to_numpy()
    best = fitted.uns["dko"]["history"]["validation_loss"].min()
    assert fitted.obs["dko_fit_error"][validation].mean() == pytest.approx(best, abs=1e-5)


def test_the_seed_decides_everything(cells, quick):
    def run(rng):
        return dko.tl.fit(cells, rng=rng, copy=True, **quick)

    first, other = run(1), run(2)
    for rng in (1, np.random.default_rng(1)):
        again = run(rng)
        np.testing.assert_array_equal(weights(again), weights(first))
        assert again.obs["dko_split"].equals(first.obs["dko_split"])
        assert again.uns["dko"]["history"].equals(first.uns["dko"]["history"])
    assert not np.array_equal(weights(other), weights(first))
    assert not other.obs["dko_split"].equals(first.obs["dko_split"])
    assert run(None).uns["dko"]["params"].get("rng") is None


def test_small_groups_and_cells_without_a_group_get_no_model(cells, quick, caplog):
    cells.obs["kind"] = pd.Categorical(["many"] * 70 + ["few"] * 4 + [None] * 6)
    dko.tl.fit(cells, groupby="kind", **quick)
    assert cells.uns["dko"]["groups"] == ["many"]
    assert (cells.obs["dko_split"] == "unused").tolist() == [False] * 70 + [True] * 10
    assert cells.obs["dko_fit_error"].isna().tolist() == [False] * 70 + [True] * 10
    assert "Groups of fewer than 5 cells get no model: 'few'." in caplog.text


def test_empty_cells_that_do_not_train_are_left_empty(cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 60, "control", "KO")
    counts = cells.X.toarray()
    counts[70] = 0
    cells.X = counts
    dko.tl.fit(cells, perturbation_key="guide", control="control", **quick)
    assert cells.obs["dko_fit_error"].isna().to_numpy().nonzero()[0].tolist() == [70]
    dko.tl.virtual_ko(cells, ["gene_2", ("gene_3", "gene_4")])
    dko.tl.scan(cells)
    dko.tl.double_ko(cells, [("gene_3", "gene_4")])
    assert dko.get.impact(cells).iloc[70].isna().all()
    assert cells.layers["dko_ko_gene_2"][70].nnz == cells.layers["dko_impact"][70].nnz == 0
    assert np.isfinite(dko.get.effects(cells).X).all()
    assert dko.get.profiles(cells).X[70].nnz == 0


def test_starting_from_another_fit(fitted, tmp_path):
    step: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-9, "progress": False}
    dko.tl.fit(fitted, init_from="dko", key_added="again", **step)
    np.testing.assert_allclose(weights(fitted, "again"), weights(fitted), atol=1e-7)
    dko.io.save(fitted, tmp_path / "model.npz")
    dko.tl.fit(fitted, init_from=tmp_path / "model.npz", key_added="file", **step)
    np.testing.assert_allclose(weights(fitted, "file"), weights(fitted), atol=1e-7)
    part = list(fitted.var_names[[9, 3, *range(10, 20)]])
    dko.tl.fit(fitted, init_from="dko", genes=part, key_added="part", **step)
    columns = fitted.var_names.get_indexer(fitted.uns["part"]["genes"])
    np.testing.assert_allclose(weights(fitted, "part")[0], weights(fitted)[0][np.ix_(columns, columns)], atol=1e-7)


@pytest.fixture
def interrupt(monkeypatch):
    """Let a training step be interrupted, as by Ctrl-C, when it has been made so often."""
    backward, left = torch.Tensor.backward, [0]

    def counted(loss, *args, **kwargs):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return backward(loss, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "backward", counted)
    return lambda after: left.__setitem__(0, after)


def test_interrupted_fit_keeps_what_it_has(cells, interrupt, caplog):
    interrupt(75)
    dko.tl.fit(cells, max_steps=1000, batch_size=64, progress=False)
    assert dko.get.history(cells)["step"].max() < 1000
    assert "stopped by the user" in caplog.text
    dko.tl.virtual_ko(cells, "gene_2")


def test_interrupt_before_anything_is_learned_leaves_all_as_it_was(cells, interrupt, unchanged):
    interrupt(2)
    with unchanged(cells), pytest.raises(KeyboardInterrupt):
        dko.tl.fit(cells, max_steps=1000, progress=False)


def test_test_and_perturbed_cells_have_no_say_in_the_genes(cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 40, "control", "KO")
    chosen = {}
    for name in ("as it is", "changed"):
        if name == "changed":
            x = cells.X.toarray()
            x[40:, ::2] = 100
            cells.X = sparse.csr_matrix(x)
        dko.tl.fit(cells, perturbation_key="guide", control="control", n_top_genes=8, **quick)
        chosen[name] = cells.uns["dko"]["genes"]
    assert chosen["as it is"] == chosen["changed"]
    x[:40, 5] = 0
    cells.X = sparse.csr_matrix(x)
    dko.tl.fit(cells, perturbation_key="guide", control="control", genes=list(cells.var_names[4:8]), **quick)
    assert not cells.uns["dko"]["weights"]["influence"][0][:, 1].any(), "gene_5 is only in perturbed cells"


def test_a_gene_that_no_training_cell_expresses_has_no_influence(cells, quick):
    x = cells.X.toarray()
    dko.tl.fit(cells, **quick)
    train = (cells.obs["dko_split"] == "train").to_numpy()
    x[train, 6] = 0
    x[~train, 6] = 5
    cells.X = sparse.csr_matrix(x)
    dko.tl.fit(cells, **quick)
    assert not cells.uns["dko"]["weights"]["influence"][0][:, 6].any()
    assert dko.get.profiles(cells)[:, "gene_6"].layers["predicted"].max() < 1e-3


def test_cells_without_any_of_the_genes_are_left_out(cells, quick, capsys):
    few = list(cells.var_names[3:5])
    empty = np.asarray((cells[:, few].X > 0).sum(axis=1)).ravel() == 0
    assert empty.any()
    dko.tl.fit(cells, genes=few, **quick)
    assert f"{empty.sum()} of 80 cells express none of the 2 genes and are left out" in capsys.readouterr().err
    np.testing.assert_array_equal(cells.obs["dko_split"] == "unused", empty)
    np.testing.assert_array_equal(cells.obs["dko_fit_error"].isna(), empty)


def test_many_genes_have_all_hidden_units_where_a_few_explain_something(monkeypatch):
    for name, number in (("_FEW", 4), ("_ALL", 8)):
        monkeypatch.setattr(f"dko.models.dko.fit.{name}", number)
    noisy = dko.datasets.grn(120, 20, density=0.3, depth=300, heterogeneity=0.5, rng=1)
    clean = dko.datasets.grn(300, 20, density=0.3, rng=1)
    ranks = {}
    for name, cells, effects in (("noisy", noisy, "auto"), ("clean", clean, "auto"), ("direct", noisy, "direct")):
        dko.tl.fit(cells, max_epochs=20, effects=effects, progress=False)
        ranks[name] = np.linalg.matrix_rank(weights(cells)[0].astype(float), tol=1e-5)
    assert ranks == {"noisy": 4, "clean": 8, "direct": 8}


@pytest.mark.parametrize(
    ("how", "column", "value"),
    [
        ({"test_fraction": 0.25}, "dko_split", "test"),
        ({"perturbation_key": "guide", "control": "control"}, "guide", "KO"),
        ({"groupby": "cell_type"}, "cell_type", "B"),
    ],
    ids=["test cells", "perturbed cells", "another group"],
)
def test_other_cells_have_no_say_in_a_model(how, column, value, cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 60, "control", "KO")
    dko.tl.fit(cells, **how, **quick)
    rows = (cells.obs[column] == value).to_numpy()
    changed, counts = cells.copy(), cells.X.toarray()
    counts[rows] = counts[rows][:, ::-1]
    changed.X = counts
    dko.tl.fit(changed, **how, **quick)
    np.testing.assert_array_equal(weights(changed)[-1], weights(cells)[-1])
    errors = [adata.obs["dko_fit_error"][rows] for adata in (cells, changed)]
    assert rows.sum() >= 20 and errors[0].notna().all() and not errors[0].equals(errors[1])


TOTAL: dict[str, Any] = {"effects": "total", "max_epochs": 3, "progress": False}


@pytest.mark.parametrize(("depth", "heterogeneity", "expected"), [(None, 0.0, "direct"), (2_000, 0.5, "total")])
def test_auto_takes_direct_ones_where_assemblages_explain_the_levels(depth, heterogeneity, expected):
    cells = dko.datasets.grn(300, 20, density=0.3, depth=depth, heterogeneity=heterogeneity, rng=1)
    dko.tl.fit(cells, max_epochs=30, progress=False)
    params = cells.uns["dko"]["params"]
    assert params["effects"] == expected
    assert (params["explained"] >= 0.5) == (expected == "direct")
    assert ("total_influence" in cells.uns["dko"]["weights"]) == (expected == "total")


def test_knockouts_equal_the_naive_formula_on_the_observed_cells(total, dense):
    weights = {name: np.asarray(array[0], dtype=float) for name, array in total.uns["dko"]["weights"].items()}
    observed = dense(total.X) / dense(total.X).sum(1, keepdims=True)
    dko.tl.scan(total)
    dko.tl.virtual_ko(total, ("gene_4", "gene_9"), dose=0.7)
    scanned, downstream = (total.layers[f"dko_{kind}"].toarray() for kind in ("impact", "downstream"))
    pair = [4, 9]
    together = np.where(np.eye(2), 1, weights["total_correlation"][np.ix_(pair, pair)] / 1.1)
    step = weights["total_step"][pair]
    of_pair = weights["total_influence"][:, pair] @ (np.linalg.solve(together, step) / step)
    for cell in range(0, 80, 9):
        for gene in np.flatnonzero(observed[cell]):
            after = observed[cell] * np.exp(-weights["total_influence"][:, gene])
            after[gene] = 0
            after /= after.sum()
            assert scanned[cell, gene] == pytest.approx(np.abs(after - observed[cell]).sum() / 2, abs=1e-6)
            before = np.where(np.arange(20) == gene, 0, observed[cell]) / (1 - observed[cell, gene])
            assert downstream[cell, gene] == pytest.approx(np.abs(after - before).sum() / 2, abs=1e-6)
        if observed[cell, pair].all():
            after = observed[cell] * np.exp(-0.7 * of_pair)
            after[pair] = 0.3 * observed[cell, pair]
            found = total.layers["dko_ko_gene_4+gene_9"][[cell]].toarray()[0]
            np.testing.assert_allclose(found, after / after.sum(), atol=1e-6)


def test_counts_that_were_normalised_before_the_fit_are_fitted_as_counts(cells):
    counts = np.ceil(cells.X.toarray() / 20)
    counts[:, 3] = 1
    cells.X = sparse.csr_matrix(counts.astype(np.float32))
    logged = cells.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    for adata in (cells, logged):
        dko.tl.fit(adata, **TOTAL)
        dko.tl.scan(adata)
    np.testing.assert_allclose(
        logged.uns["dko"]["weights"]["total_influence"],
        cells.uns["dko"]["weights"]["total_influence"],
        rtol=1e-4,
        atol=1e-4,
    )
    np.testing.assert_allclose(logged.layers["dko_impact"].toarray(), cells.layers["dko_impact"].toarray(), atol=1e-4)


def test_a_knockout_of_a_gene_without_signal_is_warned_of(total, caplog):
    total.uns["dko"]["weights"]["signal"] = np.where(total.var_names == "gene_2", 0.5, 0.01).astype(np.float32)
    dko.tl.virtual_ko(total, ["gene_2", "gene_3"])
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "depend on 'gene_2'" in warning and "gene_3" not in warning


def test_a_model_of_version_0_1_0_still_knocks_out_and_says_that_its_effects_are_too_small(total, caplog):
    dko.tl.scan(total)
    expected = total.layers["dko_impact"].toarray()
    weights = total.uns["dko"]["weights"]
    for name in ("total_correlation", "total_step"):
        del weights[name]
    weights |= {"total_intercept": np.zeros((1, 20), dtype=np.float32), "variation": np.array([np.nan], np.float32)}
    caplog.clear()
    dko.tl.scan(total)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "version 0.1.0, whose effects are too small; run dko.tl.fit(adata, key_added='dko') again" in warning
    np.testing.assert_array_equal(total.layers["dko_impact"].toarray(), expected)


def test_very_many_genes_are_kept_compactly(cells, quick, tmp_path, monkeypatch):
    how = {**quick, "effects": "total"}
    dko.tl.fit(cells, **how)
    dko.tl.scan(cells)
    expected, errors = cells.layers["dko_impact"].toarray(), cells.obs["dko_fit_error"]
    for name in ("fit", "network", "total"):
        monkeypatch.setattr(f"dko.models.dko.{name}.MANY", 10)
    dko.tl.fit(cells, **how)
    weights = cells.uns["dko"]["weights"]
    assert weights["total_influence"].dtype == np.float16 and weights["incoming"].shape == (1, 20, 20)
    np.testing.assert_allclose(cells.obs["dko_fit_error"], errors, rtol=1e-4)
    dko.tl.scan(cells)
    np.testing.assert_allclose(cells.layers["dko_impact"].toarray(), expected, rtol=5e-3, atol=1e-5)
    dko.io.save(cells, tmp_path / "model.npz")
    dko.io.load(cells, tmp_path / "model.npz", key_added="read")
    dko.tl.scan(cells, key="read")
    np.testing.assert_array_equal(cells.layers["read_impact"].toarray(), cells.layers["dko_impact"].toarray())
    # Training goes on from the two factors.
    dko.tl.fit(cells, init_from="read", key_added="next", **how)
    assert dko.get.history(cells, key="next").loc[0, "validation_loss"] <= 1.05 * errors.mean()
