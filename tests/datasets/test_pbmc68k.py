from __future__ import annotations

import socket

import anndata as ad
import numpy as np

from dko.datasets import pbmc68k


def test_cells_are_log1p_values_with_labels_and_embedding(monkeypatch, tmp_path):
    monkeypatch.setattr(socket.socket, "connect", None)  # The data come with scanpy, not from the network.
    adata = pbmc68k()
    assert adata.shape == (700, 765)
    assert adata.X.format == "csr" and adata.X.dtype == np.float32 and adata.X.min() == 0
    assert adata.uns["log1p"] == {"base": None}
    assert list(adata.obs) == ["bulk_labels", "cell_type"]
    assert adata.obs["cell_type"].nunique() == 10
    assert adata.obsm["X_umap"].shape == (700, 2)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").uns["log1p"].get("base") is None
    adata.X.data[:] = 0
    assert pbmc68k().X.max() > 0, "every call gives fresh data"
