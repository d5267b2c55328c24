"""The same numbers come out whatever holds the expression, and however rows and columns are ordered."""

from __future__ import annotations

from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.experimental import read_lazy
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

import dko

from .conftest import SCREEN, TYPES, call

LIMIT: dict[str, Any] = {"max_epochs": 3, "learning_rate": 0.01, "progress": False}
LAYERS = ("dko_impact", "dko_ko_HSPA1A%2FB", "dko_ko_gene_2+gene_3")


def knocked_out(adata):
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, ["HSPA1A/B", ("gene_2", "gene_3")])
    dko.tl.double_ko(adata, [("gene_4", "gene_2")])
    return adata


def run(adata):
    dko.tl.fit(adata, **LIMIT)
    return knocked_out(adata)


@pytest.fixture(scope="module")
def expected(_cells):
    return run(_cells.copy())


@pytest.fixture
def assert_same(expected, dense):
    """Compare results with the expected ones, in their order or that of some rows."""

    def compare(found, rows=slice(None)):
        found = found[:, expected.var_names]
        for name in LAYERS:
            np.testing.assert_allclose(dense(found.layers[name]), dense(expected.layers[name])[rows], atol=1e-6)
        np.testing.assert_allclose(dko.get.impact(found), dko.get.impact(expected).iloc[rows], atol=1e-6)
        tables = [dko.get.pairs(adata).astype({"cell": str}).sort_values("cell") for adata in (found, expected)]
        pd.testing.assert_frame_equal(*(table.reset_index(drop=True) for table in tables), atol=1e-6)
        for layer in ("predicted", "before"):
            profiles = [dense(dko.get.profiles(adata).layers[layer]) for adata in (found, expected)]
            np.testing.assert_allclose(profiles[0], profiles[1][rows], atol=1e-6)

    return compare


@pytest.mark.parametrize(
    ("kind", "budget"),
    [*((kind, 2**28) for kind in TYPES), ("csc_matrix", 4_000), ("dask of csr", 4_000)],
)
def test_array_types(kind, budget, cells, expected, assert_same, dense):
    cells.X = TYPES[kind](cells.X)
    with dko.settings.override(memory_budget=budget):
        run(cells)
    assert_same(cells)
    for name in ("influence", "intercept"):
        np.testing.assert_array_equal(cells.uns["dko"]["weights"][name], expected.uns["dko"]["weights"][name])
    assert cells.layers["dko_impact"].nnz == expected.layers["dko_impact"].nnz
    np.testing.assert_allclose(cells.obs["dko_fit_error"], expected.obs["dko_fit_error"], atol=1e-6)
    after = cells.X.compute() if hasattr(cells.X, "compute") else cells.X
    np.testing.assert_array_equal(dense(after), dense(expected.X))
    assert type(cells.X) is type(TYPES[kind](expected.X))


@pytest.mark.parametrize(("kind", "budget"), [("csr_matrix", 4_000), ("csc_matrix", 20_000), ("ndarray", 2**28)])
def test_backed(kind, budget, cells, expected, dense, tmp_path):
    cells.X = TYPES[kind](cells.X)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with dko.settings.override(memory_budget=budget):
        run(backed)
    assert backed.isbacked
    for name in LAYERS:
        np.testing.assert_allclose(dense(backed.layers[name]), dense(expected.layers[name]), atol=1e-6)
    np.testing.assert_allclose(dense(dko.get.profiles(backed).X), dense(dko.get.profiles(expected).X), atol=1e-6)
    backed.file.close()


def in_zarr(convert, zarr_format, **how):
    """As :data:`TYPES`, a matrix that stays in a store."""

    def stored(x, folder):
        group = zarr.open_group(folder / "x.zarr", mode="w", zarr_format=zarr_format)
        write_elem(group, "x", convert(x), dataset_kwargs=how)
        return sparse_dataset(group["x"]) if sparse.issparse(convert(x)) else group["x"]

    return stored


def in_hdf5(convert):
    def stored(x, folder):
        file = h5py.File(folder / "x.h5", "w")
        write_elem(file, "x", convert(x))
        return sparse_dataset(file["x"]) if sparse.issparse(convert(x)) else file["x"]

    return stored


STORES = {
    **{kind: lambda x, folder, kind=kind: TYPES[kind](x) for kind in ("ndarray", "csc_matrix", "csr_array", "dask")},
    "dask of csr": lambda x, folder: TYPES["dask of csr"](x),
    "csc_array": lambda x, folder: sparse.csc_array(x),
    "hdf5, CSR": in_hdf5(sparse.csr_matrix),
    "hdf5, CSC": in_hdf5(sparse.csc_matrix),
    "hdf5, dense": in_hdf5(TYPES["ndarray"]),
    "zarr v2, CSR": in_zarr(sparse.csr_matrix, 2),
    "zarr v2, CSC": in_zarr(sparse.csc_matrix, 2),
    "zarr v3, CSR": in_zarr(sparse.csr_matrix, 3),
    "zarr v3, sharded": in_zarr(sparse.csr_matrix, 3, chunks=(100,), shards=(300,)),
    "zarr v3, dense": in_zarr(TYPES["ndarray"], 3),
}


def placed(adata, where, values):
    """Return the fitted cells with the expression in one place, and nothing in the others."""
    adata, key = adata.copy(), adata.uns["dko"]
    nothing = sparse.csr_matrix(adata.shape, dtype=np.float32)
    if where == "X":
        adata.X = values
    elif where == "layer":
        adata.X, adata.layers["values"] = nothing, values
        adata.uns["dko"] = {**key, "params": {**key["params"], "layer": "values"}}
    else:
        adata.raw = ad.AnnData(values, var=adata.var)
        adata.X, adata.uns["dko"] = nothing, {**key, "params": {**key["params"], "use_raw": True}}
    return adata


@pytest.fixture(scope="module")
def scanned(_total):
    return dko.tl.scan(_total, copy=True)


@pytest.mark.filterwarnings("ignore:.*zarr:UserWarning")
@pytest.mark.parametrize("where", ["X", "layer", "raw"])
@pytest.mark.parametrize("store", STORES)
def test_stored_values(store, where, _total, scanned, dense, tmp_path):
    found = placed(_total, where, STORES[store](_total.X, tmp_path))
    with dko.settings.override(memory_budget=20_000):
        dko.tl.scan(found)
    for name in ("dko_impact", "dko_downstream"):
        np.testing.assert_allclose(dense(found.layers[name]), dense(scanned.layers[name]), atol=1e-6)


VERBS = (
    *("virtual_ko", "scan", "double_ko", "interactions", "affected_genes", "dose_response", "identity_shift"),
    *("rank_genes", "cluster_impact"),
)


def everything(adata):
    """Call every verb, and return all tables."""
    with dko.settings.override(verbosity=0):
        for name in VERBS:
            call(f"tl.{name}", adata, key="dko", **({"key_added": None} if name == "cluster_impact" else {}))
        dko.tl.evaluate(adata, **SCREEN, n_bootstrap=5, n_splits=2)
    tables = {"effects": dko.get.effects(adata, ["gene_2"]).to_df(), "impact": dko.get.impact(adata)}
    tables |= {name: getattr(dko.get, name)(adata) for name in ("fit_quality", "ranking", "interactions", "identity")}
    tables |= {name: getattr(dko.get, name)(adata) for name in ("evaluation", "clusters", "dose_response")}
    tables["affected_genes"] = dko.get.affected_genes(adata)
    tables["pairs"] = dko.get.pairs(adata).astype({"cell": str})
    tables["profile"] = pd.DataFrame(dko.get.profiles(adata).layers["predicted"].toarray())
    return tables


def of_file(read, suffix, convert=sparse.csr_matrix):
    """As an AnnData that reads its values from a file."""

    def opened(adata, folder):
        adata.X = convert(adata.X)
        getattr(adata, f"write_{suffix}")(folder / f"cells.{suffix}")
        return read(folder / f"cells.{suffix}")

    return opened


def backed(path):
    return ad.read_h5ad(path, backed="r")


FILES = {
    "backed, CSR": of_file(backed, "h5ad"),
    "backed, CSC": of_file(backed, "h5ad", sparse.csc_matrix),
    "lazy, h5ad": of_file(read_lazy, "h5ad"),
    "lazy, zarr": of_file(read_lazy, "zarr"),
    "lazy, zarr, CSC": of_file(read_lazy, "zarr", sparse.csc_matrix),
}


@pytest.fixture(scope="module")
def all_expected(_total):
    return everything(with_screen(_total))


def with_screen(adata):
    adata = adata.copy()
    adata.obs["knockout"] = pd.Categorical(["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15)
    return adata


@pytest.mark.filterwarnings("ignore:.*zarr:UserWarning")
@pytest.mark.parametrize(("file", "budget"), [*((file, 2**28) for file in FILES), ("lazy, zarr", 50_000)])
def test_every_verb_on_files(file, budget, _total, all_expected, tmp_path):
    adata = FILES[file](with_screen(_total), tmp_path)
    with dko.settings.override(memory_budget=budget):
        found = everything(adata)
        if budget < 2**28:  # pictures take as long as all else
            dko.io.write_report(adata, tmp_path / "report.html")
    for name, table in all_expected.items():
        pd.testing.assert_frame_equal(found[name], table, rtol=1e-5, atol=1e-6, check_categorical=False, obj=name)
    assert not sparse.issparse(adata.X)


@pytest.mark.parametrize("where", [{"layer": "counts"}, {"use_raw": True}])
def test_layer_and_raw(where, cells, assert_same):
    cells.layers["counts"], cells.raw = cells.X.copy(), cells
    cells.X = -np.ones(cells.shape, dtype=np.float32)
    dko.tl.fit(cells, **where, **LIMIT)
    assert_same(knocked_out(cells))


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


def bare(adata):
    """The fitted cells without their results."""
    return ad.AnnData(adata.X, adata.obs, adata.var[[]], uns={"dko": adata.uns["dko"]})


@pytest.mark.parametrize("kind", ["csr_matrix", "ndarray", "csc_matrix"])
def test_cells_and_genes_in_another_order(kind, expected, assert_same):
    rng = np.random.default_rng(0)
    rows = rng.permutation(80)
    shuffled = bare(expected[rows, rng.permutation(20)].copy())
    shuffled.X = TYPES[kind](shuffled.X)
    assert_same(knocked_out(shuffled), rows)


def test_other_cells_and_more_genes_than_the_fit(expected, _cells, dense):
    names = [*expected.var_names, "new_1", "new_2", "new_3"]
    x = sparse.hstack([_cells.X, _cells.X[:, :3]], format="csr")[::-3]
    other = ad.AnnData(x, _cells.obs[::-3], pd.DataFrame(index=names), uns={"dko": expected.uns["dko"]})
    dko.tl.scan(other)
    found = dense(other.layers["dko_impact"])
    np.testing.assert_allclose(found[:, :20], dense(expected.layers["dko_impact"])[::-3], atol=1e-6)
    assert not found[:, 20:].any()


def test_views_become_copies_and_give_the_same(_cells, capsys, unchanged, dense):
    mask = np.arange(80) % 3 > 0
    alone = run(_cells[mask].copy())
    whole = _cells.copy()
    capsys.readouterr()
    with unchanged(whole):
        view = whole[mask]
        run(view)
    assert not view.is_view
    assert capsys.readouterr().err.count("This AnnData was a view of another; to hold the results it has become a") == 1
    np.testing.assert_array_equal(dense(view.layers["dko_impact"]), dense(alone.layers["dko_impact"]))
    np.testing.assert_array_equal(dko.get.impact(view), dko.get.impact(alone))
