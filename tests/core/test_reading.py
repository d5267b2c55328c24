"""What models read of cells, block by block: the same numbers of any storage and budget, and no more at once."""

from __future__ import annotations

import tracemalloc
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata.experimental import read_lazy
from scipy import sparse

import dko

HOW: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "progress": False}
SMALL: dict[str, Any] = {"model": "sccvae", "n_latent": 4, "hidden": (8,), "max_steps": 2, "min_cells": 10}


def opened(kind, adata, folder):
    """The same cells, whose values lie in a file."""
    path = folder / f"cells.{'zarr' if kind == 'zarr' else 'h5ad'}"
    (adata.write_zarr if kind == "zarr" else adata.write_h5ad)(path)
    return ad.read_h5ad(path, backed="r") if kind == "backed" else read_lazy(path)


@pytest.mark.filterwarnings("ignore:.*zarr:UserWarning")
@pytest.mark.parametrize(
    ("kind", "which"),
    [("backed", "perturbations"), ("zarr", "perturbations"), ("memory", "perturbed"), ("lazy h5ad", "perturbed")],
)
def test_knockouts_of_log_values_are_the_same_of_any_storage(kind, which, request, tmp_path):
    """Of counts, which are summed over all genes, and of values that are logarithms already."""
    adata = request.getfixturevalue(which)
    gene = str(adata.uns["dko"]["targets"][3])
    expected: Any = dko.tl.virtual_ko(adata, gene, copy=True)
    found = adata if kind == "memory" else opened(kind, adata, tmp_path)
    with dko.settings.override(memory_budget=30_000):
        dko.tl.virtual_ko(found, gene)
        effects = dko.get.effects(found, gene)
    place = f"dko_ko_{gene}"
    np.testing.assert_allclose(np.asarray(found.layers[place]), expected.layers[place], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.obsm["dko_impact"], expected.obsm["dko_impact"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(effects.X, dko.get.effects(adata, gene).X, rtol=1e-4, atol=1e-6)


N_GENES, N_CONTROL, N_PERTURBED = 500, 2_500, 30


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A file of many cells, with models of both kinds that some of them were fitted to; and the bytes of its values."""
    rng = np.random.default_rng(0)
    labels = ["control"] * N_CONTROL + ["gene_1"] * N_PERTURBED + ["gene_2"] * N_PERTURBED
    rates = rng.gamma(2.0, 2.0, N_GENES)
    values = sparse.csr_matrix(rng.poisson(rates, (len(labels), N_GENES)).astype(np.float32))
    obs = pd.DataFrame({"perturbation": pd.Categorical(labels)}, [f"cell_{number}" for number in range(len(labels))])
    adata = ad.AnnData(values, obs, pd.DataFrame(index=[f"gene_{number}" for number in range(N_GENES)]))
    some = adata[N_CONTROL - 200 :].copy()
    with dko.settings.override(verbosity=0):
        dko.tl.fit(some, **HOW, max_epochs=1, effects="direct")
        dko.tl.fit(some, **HOW, **SMALL, normalize=True, test_fraction=0.5, key_added="screen")
    adata.uns = some.uns
    adata.write_h5ad(path := tmp_path_factory.mktemp("many") / "cells.h5ad")
    return path, values.data.nbytes + values.indices.nbytes


@pytest.fixture
def peak(many):
    """Call a function of these cells, which stay in their file, and return the most memory that it took."""
    path, size = many

    def measured(call):
        adata = ad.read_h5ad(path, backed="r")
        with dko.settings.override(memory_budget=2**20, verbosity=0):
            call(adata)  # what is imported or compiled counts no more
            tracemalloc.start()
            try:
                call(adata)
                return tracemalloc.get_traced_memory()[1] / size
            finally:
                tracemalloc.stop()
                adata.file.close()

    return measured


def evaluate(adata, key):
    dko.tl.evaluate(adata, **HOW, key=key, n_splits=2, n_bootstrap=5, baselines=False)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["dko", "screen"])
def test_an_evaluation_never_holds_all_cells(key, peak, monkeypatch):
    monkeypatch.setattr("dko.tl._evaluate._MAX_CELLS", 50)
    monkeypatch.setattr("dko.tl.evaluation._distances.N_SAMPLED", 50)
    assert peak(lambda adata: evaluate(adata, key)) < 0.7  # of which half is for the rank test of a few cells


@pytest.mark.slow
@pytest.mark.parametrize("key", ["dko", "screen"])
def test_knockouts_and_effects_never_hold_all_cells(key, peak):
    assert peak(lambda adata: dko.tl.virtual_ko(adata, "gene_1", key=key, profiles=False)) < 0.5
    assert peak(lambda adata: dko.get.effects(adata, "gene_1", key=key)) < 0.5


@pytest.mark.slow
def test_modules_of_perturbations_never_hold_all_cells(peak, monkeypatch):
    monkeypatch.setattr("dko._core.cells.MOST_CELLS", 100)
    how: dict[str, Any] = {"key": "screen", "n_null": 20, "progress": False}
    assert peak(lambda adata: dko.tl.perturbation_modules(adata, ["gene_1", "gene_2"], **how)) < 0.5


def test_genes_that_raw_lacks_since_the_fit_are_named(perturbations):
    """Also of counts, which are summed over all genes there."""
    whole: Any = perturbations.copy()
    whole.raw = whole.copy()
    whole.uns["dko"]["params"]["use_raw"] = True
    dko.tl.virtual_ko(whole, "gene_3")
    whole.raw = perturbations[:, perturbations.var_names != "gene_7"].copy()
    with pytest.raises(KeyError, match=r"adata.raw lacks 1 of the 20 genes of the fit: 'gene_7'; fit again"):
        dko.tl.virtual_ko(whole, "gene_3")
