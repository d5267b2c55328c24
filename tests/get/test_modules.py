from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko


@pytest.fixture
def grouped_perturbations(cells):
    """As dko.tl.perturbation_modules leaves it, whose tests read its results with the getter."""
    names = ["C", "A", "B/D", "E"]
    table = pd.DataFrame(
        {
            "perturbation": names,
            "module": ["2", "no effect", "1", "1"],
            "strength": [1.0, 0.1, 3.0, 2.0],
            "umap_1": [0.0, 1.0, 2.0, 3.0],
            "umap_2": [5.0, 6.0, 7.0, 8.0],
        }
    )
    markers = pd.DataFrame({"module": ["1", "2"], "gene": ["x", "y"], "change": [1.0, -1.0], "others": [0.0, 0.0]})
    cells.uns["dko_modules"] = {
        "params": {"basis": "latent"},
        "table": table,
        "markers": markers,
        "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
    }
    return cells


def test_tables(grouped_perturbations):
    table = dko.get.modules(grouped_perturbations)
    assert table["perturbation"].tolist() == ["C", "A", "B/D", "E"]
    assert dko.get.modules(grouped_perturbations, what="markers")["gene"].tolist() == ["x", "y"]


def test_as_anndata(grouped_perturbations, unchanged):
    with unchanged(grouped_perturbations):
        found = dko.get.modules(grouped_perturbations, as_anndata=True)
        found.X[:] = 7
        found.uns["markers"].iloc[:, -1] = 7.0
    found = dko.get.modules(grouped_perturbations, as_anndata=True)
    assert found.obs_names.tolist() == ["C", "A", "B/D", "E"]
    assert found.var_names.tolist() == ["latent_1", "latent_2", "latent_3"]
    np.testing.assert_array_equal(found.X, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(found.obsm["X_umap"], [[0, 5], [1, 6], [2, 7], [3, 8]])
    assert found.obs["module"].cat.categories.tolist() == ["1", "2", "no effect"]
    assert found.obs.columns.tolist() == ["perturbation", "module", "strength"]


def test_refusals(grouped_perturbations, fitted):
    with pytest.raises(KeyError, match=r"No modules in adata.uns\['dko_modules'\]; run dko.tl.perturbation_modules"):
        dko.get.modules(fitted)
    with pytest.raises(KeyError, match="was given no groups"):
        dko.get.modules(grouped_perturbations, what="agreement")
    with pytest.raises(ValueError, match="what='umap' must be one of 'modules', 'markers', 'agreement'"):
        dko.get.modules(grouped_perturbations, what="umap")
