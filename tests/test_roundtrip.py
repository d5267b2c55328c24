"""Everything that is written survives files, awkward names included, and can be worked on afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko

from .conftest import PERCENT, SLASH, assert_same_adata, call

GETTERS = [f"get.{name}" for name in dko.get.__all__]
GROUPS: dict[str, Any] = {"groupby": "cell_type", "min_cells": 1, "progress": False}
kinds = pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])


def tables_of(found):
    """Frames of what a getter returns."""
    if not isinstance(found, AnnData):
        return {"": found}
    return {
        "X": found.to_df(),
        "obs": found.obs,
        **{layer: found.to_df(layer=layer) for layer in found.layers if layer},
    }


def plain(table):
    """Categories in files come back sorted or as objects; what they say counts."""
    text = {name: column.astype(str) for name, column in table.items() if not pd.api.types.is_numeric_dtype(column)}
    table = table.assign(**text)
    table.index = table.index.astype(str)
    return table.rename_axis(index=None, columns=None)


def assert_survived(back, adata, names=GETTERS, mod="rna"):
    for name in names:
        found, expected = (tables_of(call(name, one, mod=mod)) for one in (back, adata))
        assert set(found) == set(expected)
        for part, table in expected.items():
            pd.testing.assert_frame_equal(plain(found[part]), plain(table), obj=f"{name} {part}")


def compute(adata):
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, [SLASH, PERCENT, (SLASH, "gene_3"), ("gene_2", "gene_3", "gene_4")])
    dko.tl.double_ko(adata, [(SLASH, "gene_3"), ("gene_2", PERCENT), ("gene_4", "gene_5")])


@kinds
def test_everything_survives_a_file(name, finished, tmp_path, stored):
    compute(finished)
    before = finished.copy()
    back = stored(finished, tmp_path / name)
    assert_same_adata(finished, before)
    assert_survived(back, finished)
    for place in ("obs", "var"):
        pd.testing.assert_frame_equal(plain(getattr(back, place)), plain(getattr(finished, place)), check_dtype=False)
    for layer in before.layers:
        np.testing.assert_array_equal(back.to_df(layer=layer), finished.to_df(layer=layer))
    for key in ("dko", "dko_screen"):
        assert back.uns[key]["params"] == finished.uns[key]["params"]
    assert {SLASH, PERCENT, f"{SLASH}+gene_3", "gene_2+gene_3+gene_4"} <= set(dko.get.impact(back))


@kinds
def test_work_goes_on_after_reading(name, grouped, tmp_path, stored):
    compute(grouped)
    dko.tl.affected_genes(grouped, ["gene_7", SLASH], **GROUPS)
    back = stored(grouped, tmp_path / name)
    assert list(back.uns["dko"]["groups"]) == ["B", "CD4/CD8 T"]
    for adata in (grouped, back):
        dko.tl.virtual_ko(adata, ["gene_6", SLASH], groups="CD4/CD8 T")
        dko.tl.scan(adata)
        dko.tl.double_ko(adata, n_samples=50)
        dko.tl.rank_genes(adata, n_bootstraps=2, **GROUPS)
        dko.tl.affected_genes(adata, "gene_8", **GROUPS)
        dko.tl.interactions(adata, [SLASH, "gene_3"], n_permutations=10, **GROUPS)
    again = stored(back, tmp_path / "again.h5ad")
    names = [f"get.{table}" for table in ("pairs", "affected_genes", "interactions", "ranking", "impact_table")]
    for adata in (back, again):
        assert_survived(adata, grouped, names)
        pd.testing.assert_frame_equal(plain(dko.get.impact(adata)), plain(dko.get.impact(grouped)))
    assert dko.get.affected_genes(back)["knockout"].nunique() == 3, "later rows stand beside those of the file"
    dko.tl.fit(again, init_from="dko", groupby="cell_type", max_steps=2, progress=False)
    dko.io.save(again, tmp_path / "model.npz")


def test_mudata(cells, quick, tmp_path, mudata_of, stored):
    protein = AnnData(np.ones((80, 3), dtype=np.float32), obs=pd.DataFrame(index=cells.obs_names))
    mdata = mudata_of(rna=cells, prot=protein)
    dko.tl.fit(mdata, groupby="cell_type", **quick)
    compute(mdata)
    back = stored(mdata, tmp_path / "cells.h5mu")
    assert "dko" not in mdata.uns and "dko" not in mdata["prot"].uns
    assert_survived(back, mdata, ["get.pairs", "get.history"])
    pd.testing.assert_frame_equal(dko.get.impact(mdata), dko.get.impact(mdata["rna"]))
    dko.tl.virtual_ko(back, "gene_7")
    assert "gene_7" in dko.get.impact(back)
    of_another_name = mudata_of(gex=cells)
    copied: Any = dko.tl.fit(of_another_name, mod="gex", copy=True, key_added="new", **quick)
    assert "new" in copied["gex"].uns and "new" not in of_another_name["gex"].uns
    dko.tl.virtual_ko(copied, "gene_2", mod="gex", key="new")
    assert dko.get.impact(copied, mod="gex", key="new").columns.tolist() == ["gene_2"]
