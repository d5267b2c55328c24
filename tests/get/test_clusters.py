from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko


@pytest.fixture
def clustered():
    """As dko.tl.cluster_impact leaves it, whose tests read its results with the getter."""
    content = {
        "markers": pd.DataFrame({"cluster": ["0", "1"], "knockout": ["A", "B/C"], "score": [3.0, 2.0]}, index=[5, 6]),
        "agreement": pd.DataFrame({"groupby": ["cell_type"], "ari": [0.5], "ami": [0.4]}),
    }
    return AnnData(np.ones((1, 1), dtype=np.float32), uns={"mine_cluster": content})


def test_tables(clustered):
    markers = dko.get.clusters(clustered, key="mine")
    assert markers["knockout"].tolist() == ["A", "B/C"] and markers.index.tolist() == [0, 1]
    assert dko.get.clusters(clustered, what="agreement", key="mine")["ari"].item() == 0.5
    markers["score"] = 0.0
    assert dko.get.clusters(clustered, key="mine")["score"].min() == 2.0


def test_refusals(clustered):
    with pytest.raises(KeyError, match=r"No clusters in adata.uns\['dko_cluster'\]; run dko.tl.cluster_impact"):
        dko.get.clusters(clustered)
    with pytest.raises(ValueError, match="what='sizes' must be one of 'markers', 'agreement'"):
        dko.get.clusters(clustered, what="sizes", key="mine")
    del clustered.uns["mine_cluster"]["agreement"]
    with pytest.raises(KeyError, match="was given no groupby"):
        dko.get.clusters(clustered, what="agreement", key="mine")
