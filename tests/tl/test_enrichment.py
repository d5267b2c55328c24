from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest

import dko

NET = pd.DataFrame({"source": ["first"] * 6 + ["second/set"] * 7, "target": [f"gene_{i}" for i in range(3, 16)]})


def mean_of_targets(data, net, tmin, verbose):
    """Score a set by the mean over its genes, as a method of decoupler would: rows of data x sets."""
    sets = net.groupby("source")["target"].agg(list)
    scores = pd.DataFrame({name: data[genes].mean(axis=1) for name, genes in sets.items() if len(genes) >= tmin})
    return scores, scores.abs()


@pytest.fixture
def fake(monkeypatch):
    methods = SimpleNamespace(ulm=mean_of_targets, plain=lambda **how: (mean_of_targets(**how)[0], None))
    monkeypatch.setitem(sys.modules, "decoupler", SimpleNamespace(mt=methods))


@pytest.fixture
def affected(fitted):
    dko.tl.affected_genes(fitted, ["gene_17", "HSPA1A/B"], groupby="cell_type")
    return fitted


def test_scores_of_every_knockout_group_and_set(fake, affected):
    dko.tl.enrichment(affected, NET)
    table = dko.get.enrichment(affected)
    wide = dko.get.affected_genes(affected, as_wide=True)
    assert table.columns.tolist() == ["knockout", "group", "source", "score", "pval_adj"] and len(table) == 8
    for row in table.itertuples():
        genes = NET.loc[NET["source"] == row.source, "target"]
        assert row.score == pytest.approx(wide.loc[f"{row.knockout} ({row.group})", genes].mean())
        assert row.pval_adj == pytest.approx(abs(row.score))
    for _, part in table.groupby(["knockout", "group"], observed=True):
        assert (np.diff(part["score"]) <= 0).all()


def test_one_knockout_by_change_with_a_method_without_p_values(fake, affected):
    dko.tl.enrichment(affected, NET, gene="HSPA1A/B", by="change", method="plain", min_targets=7)
    table = dko.get.enrichment(affected)
    assert table["knockout"].unique().tolist() == ["HSPA1A/B"] and table["source"].unique().tolist() == ["second/set"]
    assert "pval_adj" not in table
    assert affected.uns["dko_enrichment"]["params"] == {"method": "plain", "by": "change", "min_targets": 7}


@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")  # mudata says it to all who make a MuData
def test_files_and_modalities_keep_it(fake, affected, tmp_path, unchanged):
    mdata = mudata.MuData({"rna": affected.copy()})
    dko.tl.enrichment(mdata, NET)
    with unchanged(affected):
        changed: Any = dko.tl.enrichment(affected, NET, copy=True)
    table = dko.get.enrichment(changed)
    pd.testing.assert_frame_equal(dko.get.enrichment(mdata), table)
    changed.write_h5ad(tmp_path / "cells.h5ad")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*zarr v2.*", category=UserWarning)
        changed.write_zarr(tmp_path / "cells.zarr")
    for again in (ad.read_h5ad(tmp_path / "cells.h5ad"), ad.read_zarr(tmp_path / "cells.zarr")):
        pd.testing.assert_frame_equal(dko.get.enrichment(again), table)


def test_wrong_input(fake, affected, fitted):
    with pytest.raises(ValueError, match="net lacks the column 'target'"):
        dko.tl.enrichment(affected, NET[["source"]])
    with pytest.raises(ValueError, match="No set of net has 9 genes"):
        dko.tl.enrichment(affected, NET, min_targets=9)
    with pytest.raises(ValueError, match="method='gsea' is no function of decoupler.mt"):
        dko.tl.enrichment(affected, NET, method="gsea")
    with pytest.raises(KeyError, match=r"run dko.tl.enrichment"):
        dko.get.enrichment(affected)


def test_without_decoupler_it_is_named(affected, monkeypatch):
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(ImportError, match=r"needs decoupler 2; install it with pip install 'dko\[enrichment\]'"):
        dko.tl.enrichment(affected, NET)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("decoupler") is None, reason="decoupler, which scores the sets, is not installed")
@pytest.mark.filterwarnings("ignore")
def test_decoupler_takes_what_it_is_given(affected):
    dko.tl.enrichment(affected, NET)
    table = dko.get.enrichment(affected)
    assert len(table) == 8 and table["pval_adj"].between(0, 1).all()
    z = dko.get.affected_genes(affected, as_wide=True).loc["gene_17 (B)"]
    inside = z.index.isin(NET.loc[NET["source"] == "first", "target"])
    # Of a linear model with one covariate: the t-value of its slope.
    slope = np.corrcoef(inside, z)[0, 1]
    expected = slope * np.sqrt((len(z) - 2) / (1 - slope**2))
    found = table[(table["knockout"] == "gene_17") & (table["group"] == "B") & (table["source"] == "first")]
    assert found["score"].item() == pytest.approx(expected, rel=1e-3)
