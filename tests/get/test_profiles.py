from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.dko import reference as naive


def test_observed_and_predicted(fitted, layers_of):
    found = dko.get.profiles(fitted)
    counts = fitted.X.toarray()
    np.testing.assert_allclose(found.X.toarray(), counts / counts.sum(axis=1, keepdims=True), atol=1e-6)
    expected = [naive.profile(layers_of(fitted), (row > 0).astype(float)) for row in counts]
    np.testing.assert_allclose(found.layers["predicted"].toarray(), expected, atol=1e-5)
    assert found.X.dtype == found.layers["predicted"].dtype == np.float32
    assert found.var_names.tolist() == fitted.uns["dko"]["genes"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_cells_of_a_split(split, cells, quick):
    dko.tl.fit(cells, test_fraction=0.25, **quick)
    found = dko.get.profiles(cells, split=split)
    assert found.obs_names.tolist() == cells.obs_names[cells.obs["dko_split"] == split].tolist()
    whole = dko.get.profiles(cells)[found.obs_names]
    np.testing.assert_allclose(found.layers["predicted"].toarray(), whole.layers["predicted"].toarray(), atol=1e-6)


def test_cells_without_a_model_have_no_prediction(cells, quick):
    cells.obs["kind"] = ["many"] * 78 + ["few"] * 2
    dko.tl.fit(cells, groupby="kind", **quick)
    predicted = dko.get.profiles(cells).layers["predicted"].toarray()
    assert not predicted[78:].any()
    np.testing.assert_allclose(predicted[:78].sum(axis=1), 1, atol=1e-5)


def test_only_genes_of_the_model_count(cells, quick):
    dko.tl.fit(cells, genes=list(cells.var_names[::-1][:15]), **quick)
    found = dko.get.profiles(cells)
    assert found.var_names.tolist() == cells.var_names[5:].tolist()
    np.testing.assert_allclose(found.X.sum(axis=1), 1, atol=1e-6)
