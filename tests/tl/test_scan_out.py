from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import dko

# anndata tells of a format to come.
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")

READ = {".zarr": ad.read_zarr, ".h5ad": ad.read_h5ad}


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("suffix", [".zarr", ".h5ad"])
def test_the_file_holds_what_the_layer_would(fitted, tmp_path, suffix, batch_size):
    path = tmp_path / f"impacts{suffix}"
    dko.tl.scan(fitted)
    expected, means = fitted.layers["dko_impact"].copy(), fitted.var["dko_impact_mean"].copy()
    downstream = fitted.layers["dko_downstream"].copy()
    dko.tl.scan(fitted, out=path, batch_size=batch_size)
    assert not {"dko_impact", "dko_downstream"} & set(fitted.layers)  # that of another scan does not stay
    found = READ[suffix](path)
    np.testing.assert_allclose(found.layers["dko_downstream"].toarray(), downstream.toarray(), atol=1e-6)
    np.testing.assert_allclose(found.X.toarray(), expected.toarray(), atol=1e-6)
    assert found.obs.equals(fitted.obs) and list(found.var_names) == list(fitted.var_names)
    np.testing.assert_allclose(found.var["dko_impact_mean"], means, rtol=1e-6)
    np.testing.assert_allclose(fitted.var["dko_impact_mean"], means, rtol=1e-6)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_backed_anndata_is_scanned_block_by_block(fitted, tmp_path):
    fitted.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    dko.tl.scan(backed, out=tmp_path / "impacts.h5ad", batch_size=9)
    dko.tl.scan(fitted)
    found = ad.read_h5ad(tmp_path / "impacts.h5ad")
    np.testing.assert_allclose(found.X.toarray(), fitted.layers["dko_impact"].toarray(), atol=1e-6)
    backed.file.close()


def test_nothing_is_left_of_a_scan_that_fails(fitted, tmp_path):
    fitted.X = np.zeros(fitted.shape, dtype=np.float32)
    with pytest.raises(ValueError, match="nothing to knock out"):
        dko.tl.scan(fitted, out=tmp_path / "impacts.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".zarr", ".h5ad"])
def test_columns_of_every_kind_and_64_bits(fitted, tmp_path, suffix):
    fitted.obs["text"] = np.array(["a", np.nan] * 40, dtype=object)
    fitted.var["text"] = np.array(["b", None] * (fitted.n_vars // 2), dtype=object)[: fitted.n_vars]
    path = tmp_path / f"impacts{suffix}"
    dko.tl.scan(fitted, out=path)
    found = READ[suffix](path)
    assert found.obs["text"].isna().sum() == 40 and found.obs["text"].iloc[0] == "a"
    assert "dko_n_cells" in found.var
    if suffix == ".h5ad":
        import h5py

        with h5py.File(path) as file:
            assert file["X/indptr"].dtype == np.int64
