"""T16: an SCCVAE survives files, and predicts the same afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

from ..conftest import PERTURB_SEQ

FIT: dict[str, Any] = {**PERTURB_SEQ, "code_hidden": (8,), "n_members": 2, "max_steps": 10}


@pytest.fixture(scope="module")
def _screens():
    adata = dko.datasets.perturb_seq(5, 30, n_cells=20, n_controls=40, n_modules=2, n_pairs=1, rng=1)
    names = {adata.var_names[3]: "HLA/DR", adata.varm["effect"].columns[0]: "50%_%2F"}
    assert len(names) == 2
    adata.var_names = [names.get(name, name) for name in adata.var_names]
    labels = {
        label: "+".join(sorted(names.get(gene, gene) for gene in label.split("+"))) for label in adata.varm["effect"]
    }
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str).replace(labels).astype("category")
    del adata.varm["effect"]
    fitted = {code: dko.tl.fit(adata, **FIT, code=code, copy=True) for code in ("neighbours", "softmax")}
    graph = pd.DataFrame(np.ones((2, 2)), index=["HLA/DR", "50%_%2F"], columns=["HLA/DR", "50%_%2F"])
    return fitted | {"network": dko.tl.fit(adata, **FIT, graph=graph, copy=True)}


@pytest.fixture(params=["neighbours", "softmax", "network"])
def fitted(request, _screens):
    """A fit of each kind of code, and with a network; one gene has a slash in its name, one target percent signs."""
    return _screens[request.param].copy()


@pytest.fixture
def network(_screens):
    return _screens["network"].copy()


def predictions(adata, key="dko"):
    """Of a seen, an unseen and a pair of genes, all as one array, with their impacts."""
    asked = ["50%_%2F", "HLA/DR", ("50%_%2F", "HLA/DR")]
    done = dko.tl.virtual_ko(adata, asked, key=key, copy=True)
    assert done is not None
    layers = [done.layers[f"{key}_ko_{name}"] for name in ("50%25_%252F", "HLA%2FDR", "50%25_%252F+HLA%2FDR")]
    return np.stack(layers), dko.get.impact(done, key=key)


def assert_same_predictions(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert list(found[1].columns) == list(expected[1].columns)


def assert_same_fit(found, expected):
    assert set(found) == set(expected) and found["weights"].keys() == expected["weights"].keys()
    for part in ("genes", "targets", "groups"):
        assert list(found[part]) == list(expected[part])
    for name, array in expected["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], array, strict=True)
    for table in ("history", "perturbations"):
        alike: Any = {"check_dtype": False, "check_categorical": False, "check_index_type": False}
        pd.testing.assert_frame_equal(
            found[table].reset_index(drop=True), expected[table].reset_index(drop=True), **alike
        )


@pytest.mark.parametrize(
    ("fitted", "name"),
    [("neighbours", "cells.h5ad"), ("softmax", "cells.h5ad"), ("network", "cells.zarr")],
    indirect=["fitted"],
)
def test_a_fit_survives_a_file_of_cells(fitted, name, tmp_path, unchanged, stored):
    expected = predictions(fitted)
    with unchanged(fitted):
        back = stored(fitted, tmp_path / name)
    assert_same_fit(back.uns["dko"], fitted.uns["dko"])
    assert (back.obs["dko_split"].astype(str) == fitted.obs["dko_split"].astype(str)).all()
    assert_same_predictions(predictions(back), expected)


def test_a_fit_survives_a_file_of_its_own(fitted, tmp_path):
    """T1, T16: the mask of the graph among the arrays, none of them pickled."""
    expected = predictions(fitted)
    dko.io.save(fitted, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert "network.mask" in arrays.files
        assert all(arrays[name].dtype != object for name in arrays.files)
    new = fitted.copy()
    del new.uns["dko"], new.obs["dko_split"]
    dko.io.load(new, tmp_path / "model.npz", key_added="mine")
    assert_same_fit(new.uns["mine"], fitted.uns["dko"])
    assert_same_predictions(predictions(new, "mine"), expected)


def test_other_cells_with_genes_in_another_order(network, tmp_path):
    control = (network.obs["perturbation"] == "control").to_numpy()
    expected, _ = predictions(network)
    dko.io.save(network, tmp_path / "model.npz")
    part = network[control].copy()[:, ::-1].copy()
    del part.uns["dko"]
    dko.io.load(part, tmp_path / "model.npz")
    found, _ = predictions(part)
    np.testing.assert_allclose(found[:, :, ::-1], expected[:, control], atol=1e-5)


def test_values_of_another_kind_are_refused_on_loading(network, tmp_path, unchanged):
    """In words that :func:`dko.io.load` can answer to."""
    dko.io.save(network, tmp_path / "logs.npz")
    counts = network.copy()
    counts.X = counts.layers["counts"]
    dko.tl.fit(counts, **FIT, normalize=True)
    dko.io.save(counts, tmp_path / "counts.npz")
    with unchanged(counts), pytest.raises(ValueError, match="trained on log-normalised values, and these cells hold c"):
        dko.io.load(counts, tmp_path / "logs.npz", key_added="mine")
    with unchanged(network), pytest.raises(ValueError, match="trained on counts.*; name the layer that holds"):
        dko.io.load(network, tmp_path / "counts.npz", key_added="mine")
