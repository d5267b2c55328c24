from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import dko

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
