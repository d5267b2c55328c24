"""The same numbers come out whatever holds the expression, and however rows and columns are ordered."""

from __future__ import annotations

from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import dko

LIMIT: dict[str, Any] = {"max_epochs": 3, "learning_rate": 0.01, "progress": False}


def explicit_zeros(x):
    """The same values, with zeros stored where nothing is: a pattern that says nothing."""
    rows, columns = np.indices(x.shape).reshape(2, -1)
    return sparse.csr_matrix((x.toarray().ravel(), (rows, columns)), shape=x.shape)


def unsorted(x):
    """The same values, each row stored from its last gene to its first."""
    order = np.concatenate([np.arange(b, a, -1) - 1 for a, b in zip(x.indptr, x.indptr[1:], strict=False)])
    return sparse.csr_matrix((x.data[order], x.indices[order], x.indptr.copy()), shape=x.shape)


def twice(x):
    """The same values, the first half of each in an entry of its own."""
    data, indices = np.repeat(x.data / 2, 2), np.repeat(x.indices, 2)
    return sparse.csr_matrix((data, indices, 2 * x.indptr), shape=x.shape)


TYPES = {
    "ndarray": lambda x: x.toarray(),
    "csr_matrix": lambda x: x,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "explicit zeros": explicit_zeros,
    "unsorted": unsorted,
    "twice": twice,
    "int32": lambda x: x.astype(np.int32),
    "uint16 dense": lambda x: x.toarray().astype(np.uint16),
    "float16": lambda x: x.toarray().astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "int64 indices": lambda x: sparse.csr_matrix(
        (x.data, x.indices.astype(np.int64), x.indptr.astype(np.int64)), shape=x.shape
    ),
    "dask": lambda x: da.from_array(x.toarray(), chunks=(17, 20)),
    "dask of csr": lambda x: da.concatenate(
        [da.from_array(x[start : start + 20], chunks=(20, 20), asarray=False) for start in range(0, 80, 20)]
    ),
}


def run(adata):
    dko.tl.fit(adata, **LIMIT)
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, ["HSPA1A/B", ("gene_2", "gene_3")])
    dko.tl.double_ko(adata, n_samples=100)
    return adata


@pytest.fixture(scope="module")
def expected(_cells):
    return run(_cells.copy())


def assert_same_results(found, expected, dense):
    for name in ("influence", "intercept"):
        np.testing.assert_array_equal(found.uns["dko"]["weights"][name], expected.uns["dko"]["weights"][name])
    for name in ("dko_impact", "dko_ko_HSPA1A%2FB", "dko_ko_gene_2+gene_3"):
        layer = found.layers[name]
        assert layer.nnz == expected.layers[name].nnz
        np.testing.assert_allclose(dense(layer), dense(expected.layers[name]), atol=1e-6)
    np.testing.assert_allclose(dko.get.impact(found), dko.get.impact(expected), atol=1e-6)
    pd.testing.assert_frame_equal(found.uns["dko"]["pairs"], expected.uns["dko"]["pairs"], atol=1e-6)
    np.testing.assert_allclose(found.obs["dko_fit_error"], expected.obs["dko_fit_error"], atol=1e-6)
    np.testing.assert_allclose(dense(dko.get.profiles(found).X), dense(dko.get.profiles(expected).X), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "budget"),
    [*((kind, 2**28) for kind in TYPES), ("csc_matrix", 4_000), ("dask of csr", 4_000)],
)
def test_array_types(kind, budget, cells, expected, dense):
    cells.X = TYPES[kind](cells.X)
    before = dense(cells.X.compute() if hasattr(cells.X, "compute") else cells.X)
    with dko.settings.override(memory_budget=budget):
        run(cells)
    assert_same_results(cells, expected, dense)
    after = cells.X.compute() if hasattr(cells.X, "compute") else cells.X
    np.testing.assert_array_equal(dense(after), before)
    assert type(cells.X) is type(TYPES[kind](expected.X))


@pytest.mark.parametrize(("kind", "budget"), [("csr_matrix", 4_000), ("csc_matrix", 4_000), ("ndarray", 2**28)])
def test_backed(kind, budget, cells, expected, dense, tmp_path):
    cells.X = TYPES[kind](cells.X)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with dko.settings.override(memory_budget=budget):
        run(backed)
    assert backed.isbacked
    assert_same_results(backed, expected, dense)
    backed.file.close()


def test_layer_and_raw(cells, expected, dense):
    layered = cells.copy()
    layered.layers["counts"], layered.X = layered.X, -np.ones(layered.shape, dtype=np.float32)
    dko.tl.fit(layered, layer="counts", **LIMIT)
    dko.tl.scan(layered)
    from_raw = cells.copy()
    from_raw.raw = cells
    from_raw.X = -np.ones(from_raw.shape, dtype=np.float32)
    dko.tl.fit(from_raw, use_raw=True, **LIMIT)
    dko.tl.scan(from_raw)
    for found in (layered, from_raw):
        np.testing.assert_allclose(dense(found.layers["dko_impact"]), dense(expected.layers["dko_impact"]), atol=1e-6)


def test_raw_with_more_genes_than_var_names(cells, capsys, dense, quick):
    some = cells[:, [5, 3, 0, *range(8, 20)]].copy()
    fewer = some.copy()
    fewer.raw = cells
    fewer.X = np.zeros(fewer.shape, dtype=np.float32)
    dko.tl.fit(fewer, use_raw=True, **quick)
    assert "Of the 20 genes of raw, 15 are in var_names and can be taken." in capsys.readouterr().err
    dko.tl.scan(fewer)
    dko.tl.fit(some, **quick)
    dko.tl.scan(some)
    np.testing.assert_allclose(dense(fewer.layers["dko_impact"]), dense(some.layers["dko_impact"]), atol=1e-6)


@pytest.mark.parametrize("kind", ["csr_matrix", "ndarray", "csc_matrix"])
def test_rows_in_another_order(kind, expected, dense):
    order = np.random.default_rng(0).permutation(80)
    shuffled = expected[order].copy()
    shuffled.X = TYPES[kind](shuffled.X)
    dko.tl.scan(shuffled)
    dko.tl.virtual_ko(shuffled, ["gene_4"])
    named = expected.copy()
    dko.tl.virtual_ko(named, "gene_4")
    np.testing.assert_allclose(
        dense(shuffled.layers["dko_impact"]), dense(expected.layers["dko_impact"])[order], atol=1e-6
    )
    np.testing.assert_allclose(
        dense(shuffled.layers["dko_ko_gene_4"]), dense(named.layers["dko_ko_gene_4"])[order], atol=1e-6
    )


def test_genes_in_another_order_are_found_by_name(expected, dense):
    order = np.random.default_rng(0).permutation(20)
    shuffled = expected[:, order].copy()
    for name in [name for name in shuffled.layers if name]:
        del shuffled.layers[name]
    dko.tl.scan(shuffled)
    dko.tl.virtual_ko(shuffled, ["HSPA1A/B", ("gene_2", "gene_3")])
    dko.tl.double_ko(shuffled, [("gene_4", "gene_2")])
    for name in ("dko_impact", "dko_ko_HSPA1A%2FB", "dko_ko_gene_2+gene_3"):
        found = shuffled[:, expected.var_names].layers[name]
        np.testing.assert_allclose(dense(found), dense(expected.layers[name]), atol=1e-6)
    again = dko.tl.double_ko(expected, [("gene_4", "gene_2")], copy=True)
    pd.testing.assert_frame_equal(dko.get.pairs(shuffled), dko.get.pairs(again), atol=1e-6)
    np.testing.assert_allclose(
        dense(dko.get.profiles(shuffled).layers["predicted"]),
        dense(dko.get.profiles(expected).layers["predicted"]),
        atol=1e-6,
    )


def test_more_genes_than_the_fit(expected, dense):
    wider = ad.concat([expected, ad.AnnData(expected.X[:, :3].copy(), expected.obs)[:, :]], axis=1, merge="first")
    wider.var_names = [*expected.var_names, "new_1", "new_2", "new_3"]
    wider.uns["dko"] = expected.uns["dko"]
    dko.tl.scan(wider)
    np.testing.assert_allclose(dense(wider.layers["dko_impact"])[:, :20], dense(expected.layers["dko_impact"]))
    assert wider.layers["dko_impact"][:, 20:].nnz == 0


def test_other_cells_with_the_same_genes(expected, _cells, dense):
    other = _cells[::-3].copy()
    other.uns["dko"] = expected.uns["dko"]
    dko.tl.scan(other)
    np.testing.assert_allclose(dense(other.layers["dko_impact"]), dense(expected.layers["dko_impact"])[::-3], atol=1e-6)


def test_views_become_copies_and_give_the_same(_cells, capsys, unchanged, dense):
    mask = np.arange(80) % 3 > 0
    alone = run(_cells[mask].copy())
    whole = _cells.copy()
    capsys.readouterr()
    with unchanged(whole):
        view = whole[mask]
        run(view)
    assert not view.is_view
    assert (
        capsys.readouterr().err.count("This AnnData was a view of another; to hold the results it has become a copy.")
        == 1
    )
    np.testing.assert_array_equal(dense(view.layers["dko_impact"]), dense(alone.layers["dko_impact"]))
    np.testing.assert_array_equal(dko.get.impact(view), dko.get.impact(alone))
