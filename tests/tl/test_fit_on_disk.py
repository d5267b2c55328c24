"""Cells of which more there are than fit into memory: the same model, whatever the budget."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import dko
from dko.models.rows import StoredRows
from dko.tl import _training_cells

QUIET: dict[str, Any] = {"progress": False}
TOTAL: dict[str, Any] = {"effects": "total", "max_steps": 20, **QUIET}
SCREEN: dict[str, Any] = {"model": "sccvae", "perturbation_key": "perturbation", "control": "control"}
FITS: dict[str, dict[str, Any]] = {
    "groups": {"groupby": "cell_type", **TOTAL},
    "variable genes of logged cells": {"n_top_genes": 20, "layer": "log", **TOTAL},
    "test cells": {"test_fraction": 0.3, "effects": "direct", "max_steps": 40, **QUIET},
    "paper": {"preset": "paper", "max_steps": 20, **QUIET},
}


@pytest.fixture(scope="module")
def _many():
    adata = dko.datasets.grn_types(n_cells=400, n_genes=40, n_types=2, rng=0)
    adata.layers["log"] = sc.pp.log1p(sc.pp.normalize_total(adata, target_sum=1e4, copy=True), copy=True).X
    return adata


@pytest.fixture
def many(_many):
    return _many.copy()


def too_little(adata):
    """Cells are read in several blocks, and those of a fit kept in a scratch file."""
    return dko.settings.override(memory_budget=3 * adata.X.nnz)


@pytest.fixture
def kept(monkeypatch):
    """The types of the values that fits were given."""
    found = []
    keep = _training_cells.kept

    def noting(*args, **kwargs):
        values = keep(*args, **kwargs)
        found.append(type(values))
        return values

    monkeypatch.setattr(_training_cells, "kept", noting)
    return found


def assert_same_fit(found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    for name, array in expected.uns["dko"]["weights"].items():
        size = np.abs(array).max()
        np.testing.assert_allclose(found.uns["dko"]["weights"][name], array, atol=tolerance * size, err_msg=name)
    assert list(found.uns["dko"]["genes"]) == list(expected.uns["dko"]["genes"])
    assert list(found.obs) == list(expected.obs)
    np.testing.assert_array_equal(found.obs["dko_split"], expected.obs["dko_split"])
    if "dko_fit_error" in expected.obs:
        np.testing.assert_allclose(found.obs["dko_fit_error"], expected.obs["dko_fit_error"], atol=1e-6)


@pytest.mark.parametrize("name", FITS)
def test_the_budget_decides_no_number(many, name, kept):
    expected: Any = dko.tl.fit(many, copy=True, **FITS[name])
    with too_little(many):
        dko.tl.fit(many, **FITS[name])
    assert kept[1] is StoredRows and kept[0] is not StoredRows
    # Sums over cells are in another order, and half precision rounds the null.
    assert_same_fit(many, expected, 2e-3 if FITS[name].get("effects") == "total" else 1e-6)


def test_cells_of_a_file_are_kept_in_a_scratch_file(many, tmp_path, kept):
    expected: Any = dko.tl.fit(many, copy=True, **TOTAL)
    many.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with too_little(many):
        dko.tl.fit(backed, **TOTAL)
    backed.file.close()
    assert kept[1] is StoredRows
    assert_same_fit(backed, expected, 2e-3)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_model_of_perturbations_reads_its_cells_from_there(normalize, kept):
    adata = dko.datasets.perturb_seq(n_cells=30, n_genes=30, rng=0)
    if normalize:
        adata.X = sparse.csr_matrix(np.rint(np.expm1(adata.X.toarray())), dtype=np.float32)
    how = {**SCREEN, "normalize": normalize, "n_members": 1, "max_steps": 30, "n_latent": 8, **QUIET}
    expected: Any = dko.tl.fit(adata, copy=True, **how)
    with too_little(adata):
        dko.tl.fit(adata, **how)
    assert kept[1] is StoredRows
    assert_same_fit(adata, expected, 1e-4)


def test_all_cells_are_summed_and_some_are_permuted(many, monkeypatch):
    expected: Any = dko.tl.fit(many, copy=True, **TOTAL)
    monkeypatch.setattr("dko.models.dko.fit.MOST_PERMUTED", 100)
    dko.tl.fit(many, **TOTAL)
    weights, others = (adata.uns["dko"]["weights"] for adata in (many, expected))
    for name in ("total_influence", "total_correlation"):
        np.testing.assert_allclose(weights[name], others[name], atol=1e-3 * np.abs(others[name]).max())
    known, were = (weights["signal"] <= 0.05 for weights in (weights, others))
    assert not np.array_equal(weights["signal"], others["signal"])
    assert np.mean(known == were) > 0.8


def test_some_validation_cells_tell_when_to_stop(many, monkeypatch):
    expected: Any = dko.tl.fit(many, copy=True, **TOTAL)
    monkeypatch.setattr("dko.models.dko.fit.MOST_VALIDATING", 20)
    dko.tl.fit(many, **TOTAL)
    losses = [adata.uns["dko"]["history"]["validation_loss"].min() for adata in (many, expected)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.2)
    np.testing.assert_array_equal(many.obs["dko_split"], expected.obs["dko_split"])
