from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import dko

from ..conftest import PERTURB_SEQ


@pytest.mark.parametrize("which", ["fitted", "grouped"])
def test_what_is_saved_comes_back(which, request, cells, tmp_path):
    source = request.getfixturevalue(which)
    dko.io.save(source, tmp_path / "model.npz")
    dko.io.load(cells, tmp_path / "model.npz", key_added="mine")
    expected, found = source.uns["dko"], cells.uns["mine"]
    assert set(found) == set(expected)
    for name in ("params", "genes", "groups"):
        assert found[name] == expected[name]
    for name, array in expected["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], array, strict=True)
    pd.testing.assert_frame_equal(found["history"], expected["history"])
    dko.tl.scan(source)
    dko.tl.scan(cells, key="mine")
    np.testing.assert_array_equal(cells.layers["mine_impact"].toarray(), source.layers["dko_impact"].toarray())


def test_genes_that_are_not_there(fitted, cells, tmp_path, unchanged):
    dko.io.save(fitted, tmp_path / "model.npz")
    part = cells[:, 1:].copy()
    with unchanged(part), pytest.raises(KeyError, match="lacks 1 of the 20 genes of the fit: 'HSPA1A/B'"):
        dko.io.load(part, tmp_path / "model.npz")


def test_no_file(cells, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file '.*model.npz'"):
        dko.io.load(cells, tmp_path / "model.npz")


def test_the_expression_is_that_of_the_cells_at_hand(cells, quick, tmp_path):
    logged = cells.copy()
    sc.pp.log1p(logged)
    dko.tl.fit(logged, **quick)
    dko.io.save(logged, tmp_path / "model.npz")
    cells.layers["counts"] = cells.X.copy()
    cells.X = None
    dko.io.load(cells, tmp_path / "model.npz", layer="counts")
    np.testing.assert_allclose(
        dko.get.profiles(cells).X.toarray(), dko.get.profiles(logged).X.toarray(), rtol=1e-4, atol=1e-7
    )


def test_what_the_model_before_it_left_is_taken_away(fitted, tmp_path):
    dko.io.save(fitted, tmp_path / "model.npz")
    dko.tl.scan(fitted)
    dko.io.load(fitted, tmp_path / "model.npz")
    assert not [name for name in [*fitted.layers, *fitted.obs, *fitted.var] if name and name.startswith("dko")]


def test_a_file_of_plain_arrays(grouped, tmp_path):
    dko.io.save(grouped, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert set(file.files) == {"text", "influence", "intercept"}
        text = json.loads(str(file["text"]))
    assert text["genes"][:2] == ["HSPA1A/B", "50%_%2F"] and text["groups"] == ["B", "CD4/CD8 T"]


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
    screened = {code: dko.tl.fit(adata, **FIT, code=code, copy=True) for code in ("neighbours", "softmax")}
    graph = pd.DataFrame(np.ones((2, 2)), index=["HLA/DR", "50%_%2F"], columns=["HLA/DR", "50%_%2F"])
    return screened | {"network": dko.tl.fit(adata, **FIT, graph=graph, copy=True)}


@pytest.fixture(params=["neighbours", "softmax", "network"])
def screened(request, _screens):
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
    ("screened", "name"),
    [("neighbours", "cells.h5ad"), ("softmax", "cells.h5ad"), ("network", "cells.zarr")],
    indirect=["screened"],
)
def test_a_fit_survives_a_file_of_cells(screened, name, tmp_path, unchanged, stored):
    expected = predictions(screened)
    with unchanged(screened):
        back = stored(screened, tmp_path / name)
    assert_same_fit(back.uns["dko"], screened.uns["dko"])
    assert (back.obs["dko_split"].astype(str) == screened.obs["dko_split"].astype(str)).all()
    assert_same_predictions(predictions(back), expected)


def test_a_fit_survives_a_file_of_its_own(screened, tmp_path):
    """T1, T16: the mask of the graph among the arrays, none of them pickled."""
    expected = predictions(screened)
    dko.io.save(screened, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert "network.mask" in arrays.files
        assert all(arrays[name].dtype != object for name in arrays.files)
    new = screened.copy()
    del new.uns["dko"], new.obs["dko_split"]
    dko.io.load(new, tmp_path / "model.npz", key_added="mine")
    assert_same_fit(new.uns["mine"], screened.uns["dko"])
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
