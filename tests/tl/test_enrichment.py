from __future__ import annotations

import sys
from types import SimpleNamespace

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


def test_without_decoupler_it_is_named(affected, monkeypatch):
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(ImportError, match=r"needs decoupler 2; install it with pip install 'dko\[enrichment\]'"):
        dko.tl.enrichment(affected, NET)
