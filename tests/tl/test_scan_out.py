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
