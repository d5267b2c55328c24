"""Everything that is written survives files, awkward names included, and can be worked on afterwards."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dko


def all_results(adata):
    """Every table that can be had from an AnnData, by name."""
    effects = dko.get.effects(adata, groupby="cell_type")
    profiles = dko.get.profiles(adata)
    return {
        "impact": dko.get.impact(adata),
        "tidy": dko.get.impact(adata, tidy=True),
        "table": dko.get.impact_table(adata),
        "pairs": dko.get.pairs(adata),
        "ranking": dko.get.ranking(adata, groupby="cell_type"),
        "history": dko.get.history(adata),
        "effects": effects.to_df(),
        "effects of": effects.obs,
        "observed": profiles.to_df(),
        "predicted": profiles.to_df(layer="predicted"),
        "knockouts": adata.uns["dko"]["knockouts"],
        "split": adata.obs[["dko_split", "dko_fit_error"]],
        "means": adata.var[["dko_impact_mean", "dko_n_cells"]],
        **{name: adata.to_df(layer=name) for name in adata.layers if name},
    }


def plain(table):
    """Categories in files come back sorted or as objects; what they say counts."""
    text = {name: column.astype(str) for name, column in table.items() if not pd.api.types.is_numeric_dtype(column)}
    table = table.assign(**text)
    table.index = table.index.astype(str)
    return table.rename_axis(index=None, columns=None)


def compute(adata):
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, ["HSPA1A/B", "50%_%2F", ("HSPA1A/B", "gene_3"), ("gene_2", "gene_3", "gene_4")])
    dko.tl.double_ko(adata, [("HSPA1A/B", "gene_3"), ("gene_2", "50%_%2F"), ("gene_4", "gene_5")])


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_everything_survives_a_file(name, groupby, cells, quick, tmp_path, same, stored):
    dko.tl.fit(cells, groupby=groupby, test_fraction=0.2, **quick)
    compute(cells)
    before = cells.copy()
    back = stored(cells, tmp_path / name)
    same(cells, before)
    expected, found = all_results(cells), all_results(back)
    assert set(found) == set(expected)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(plain(found[name]), plain(table), obj=name)
    assert dko.get.impact(back).columns.tolist()[:3] == ["HSPA1A/B", "50%_%2F", "HSPA1A/B+gene_3"]
    assert list(back.uns["dko"]["groups"]) == ([] if groupby is None else ["B", "CD4/CD8 T"])


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_work_goes_on_after_reading(name, grouped, tmp_path, dense, stored):
    compute(grouped)
    back = stored(grouped, tmp_path / name)
    for adata in (grouped, back):
        dko.tl.virtual_ko(adata, ["gene_6", "HSPA1A/B"], groups="CD4/CD8 T")
        dko.tl.scan(adata)
        dko.tl.double_ko(adata, n_samples=50)
    for table in ("impact", "pairs"):
        expected, found = getattr(dko.get, table)(grouped), getattr(dko.get, table)(back)
        pd.testing.assert_frame_equal(plain(found), plain(expected))
    np.testing.assert_array_equal(dense(back.layers["dko_impact"]), dense(grouped.layers["dko_impact"]))
    again = stored(back, tmp_path / f"again_{name}")
    pd.testing.assert_frame_equal(plain(dko.get.impact(again)), plain(dko.get.impact(back)))
    dko.tl.fit(again, init_from="dko", groupby="cell_type", max_steps=2, progress=False)
    dko.io.save(again, tmp_path / "model.npz")


def test_parameters_survive(cells, quick, tmp_path, stored):
    cells.obs["guide"] = np.where(np.arange(80) < 60, "control", "KO")
    cells.layers["counts"] = cells.X.copy()
    dko.tl.fit(cells, layer="counts", perturbation_key="guide", control="control", **quick)
    back = stored(cells, tmp_path / "cells.h5ad")
    assert back.uns["dko"]["params"] == cells.uns["dko"]["params"]
    assert back.uns["dko"]["params"]["control"] == "control"


def test_mudata(cells, quick, tmp_path, mudata_of, stored):
    protein = ad.AnnData(np.ones((80, 3), dtype=np.float32), obs=pd.DataFrame(index=cells.obs_names))
    protein.var_names = ["p1", "p2", "p3"]
    mdata = mudata_of(rna=cells, prot=protein)
    dko.tl.fit(mdata, groupby="cell_type", **quick)
    compute(mdata)
    back = stored(mdata, tmp_path / "cells.h5mu")
    assert "dko" not in mdata.uns and "dko" not in mdata["prot"].uns
    for name in ("impact", "pairs", "history", "ranking"):
        expected, found = getattr(dko.get, name)(mdata), getattr(dko.get, name)(back)
        pd.testing.assert_frame_equal(plain(found), plain(expected), obj=name)
    pd.testing.assert_frame_equal(dko.get.impact(mdata), dko.get.impact(mdata["rna"]))
    dko.tl.virtual_ko(back, "gene_7")
    assert "gene_7" in dko.get.impact(back)


def test_a_modality_of_another_name(cells, quick, mudata_of):
    mdata = mudata_of(gex=cells)
    copied: Any = dko.tl.fit(mdata, mod="gex", copy=True, **quick)
    assert "dko" in copied["gex"].uns and "dko" not in mdata["gex"].uns
    dko.tl.virtual_ko(copied, "gene_2", mod="gex")
    assert dko.get.impact(copied, mod="gex").columns.tolist() == ["gene_2"]
