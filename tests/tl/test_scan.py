from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dko

from .. import paper as naive

READ = {".zarr": ad.read_zarr, ".h5ad": ad.read_h5ad}


def expected(adata, layers):
    """Impact and downstream impact of every gene in every cell, 0 where it is absent, by the naive formula."""
    presence = (adata.X.toarray() > 0).astype(float)
    return [
        np.array([[measure(layers, z, [g]) if z[g] else 0 for g in range(len(z))] for z in presence])
        for measure in (naive.impact, naive.downstream)
    ]


@given(budget=st.sampled_from([1, 500, 2_000, 2**28]), batch_size=st.sampled_from([None, 1, 7, 80, 500]))
def test_equals_the_formula_of_the_paper(_fitted, layers_of, budget, batch_size):
    adata = _fitted.copy()
    with dko.settings.override(memory_budget=budget):
        dko.tl.scan(adata, batch_size=batch_size)
    for kind, values in zip(("impact", "downstream"), expected(adata, layers_of(adata)), strict=True):
        np.testing.assert_allclose(adata.layers[f"dko_{kind}"].toarray(), values, atol=1e-5)


def test_the_pattern_is_that_of_x(fitted):
    dko.tl.scan(fitted)
    for layer in (fitted.layers["dko_impact"], fitted.layers["dko_downstream"]):
        assert layer.format == "csr" and layer.dtype == np.float32 and layer.has_sorted_indices
        np.testing.assert_array_equal(layer.indptr, fitted.X.indptr)
        np.testing.assert_array_equal(layer.indices, fitted.X.indices)


def test_without_the_downstream_impacts(fitted):
    dko.tl.scan(fitted)
    expected = fitted.layers["dko_impact"].toarray()
    assert "dko_downstream_mean" in fitted.var
    dko.tl.scan(fitted, downstream=False)  # those of an earlier scan do not stay
    assert "dko_downstream" not in fitted.layers and "dko_downstream_mean" not in fitted.var
    np.testing.assert_array_equal(fitted.layers["dko_impact"].toarray(), expected)


def test_means_per_gene(fitted):
    mask = np.arange(80) < 30
    dko.tl.scan(fitted, genes=["gene_2", "gene_3"], groups=mask)
    layer = fitted.layers["dko_impact"].toarray()
    assert not layer[~mask].any()
    for gene in fitted.var_names:
        impacts = layer[:, fitted.var_names.get_loc(gene)]
        impacts = impacts[impacts > 0]
        mean, n_cells = fitted.var.loc[gene, ["dko_impact_mean", "dko_n_cells"]]
        if gene in ("gene_2", "gene_3"):
            assert n_cells == len(impacts) == (fitted[mask, gene].X.toarray() > 0).sum()
            assert mean == pytest.approx(impacts.mean(), rel=1e-5)
        else:
            assert n_cells == len(impacts) == 0
            assert np.isnan(mean)
    assert fitted.var["dko_impact_mean"].dtype == np.float32


def test_genes_outside_the_fit_have_no_entries(cells, quick):
    dko.tl.fit(cells, genes=list(cells.var_names[:12]), **quick)
    dko.tl.scan(cells)
    layer = cells.layers["dko_impact"]
    assert layer[:, 12:].nnz == 0
    assert layer[:, :12].nnz == cells.X[:, :12].nnz


def test_cells_without_a_model_have_no_entries(cells, quick):
    cells.obs["few"] = ["a"] * 40 + ["b"] * 36 + ["c"] * 2 + [None] * 2
    dko.tl.fit(cells, groupby="few", **quick)
    dko.tl.scan(cells)
    assert (np.diff(cells.layers["dko_impact"].indptr) > 0).tolist() == [True] * 76 + [False] * 4


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


def test_a_layer_can_be_changed_in_place_beside_the_other(fitted):
    dko.tl.scan(fitted)
    impact, downstream = (fitted.layers[name] for name in ("dko_impact", "dko_downstream"))
    before = downstream.copy()
    impact.data[::2] = 0
    impact.eliminate_zeros()
    np.testing.assert_array_equal(downstream.toarray(), before.toarray())
