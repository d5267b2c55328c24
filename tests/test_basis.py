from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dko._core.cells import read_basis


@pytest.mark.parametrize("name", ["umap", "X_umap"])
def test_with_and_without_its_prefix(cells, name):
    short, places = read_basis(cells, name)
    assert short == "umap"
    np.testing.assert_array_equal(places, cells.obsm["X_umap"])


def test_two_dimensions_of_an_embedding_without_a_prefix(cells):
    cells.obsm["spatial"] = np.arange(240, dtype=np.float32).reshape(80, 3)
    short, places = read_basis(cells, "spatial")
    assert short == "spatial" and places.shape == (80, 2) and places.dtype == float


def test_says_what_there_is(cells):
    cells.obsm["table"] = pd.DataFrame({"a": 1, "b": 2}, index=cells.obs_names)
    with pytest.raises(KeyError, match=r"No embedding 'table' in adata\.obsm; there are 'X_umap'\."):
        read_basis(cells, "table")
    del cells.obsm["X_umap"]
    with pytest.raises(KeyError, match=r"there is none; run sc\.tl\.umap\(adata\) first"):
        read_basis(cells, "umap")
