from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import dko


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


def test_other_cells_with_more_genes(fitted, cells, tmp_path):
    dko.io.save(fitted, tmp_path / "model.npz")
    part = cells[:30, ::-1].copy()
    dko.io.load(part, tmp_path / "model.npz")
    dko.tl.virtual_ko(part, "gene_2")
    expected = dko.tl.virtual_ko(fitted, "gene_2", copy=True)
    np.testing.assert_allclose(dko.get.impact(part), dko.get.impact(expected)[:30], atol=1e-6)


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
