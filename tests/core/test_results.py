"""Results in ``uns`` that were damaged are named, whoever reads them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import dko

from ..conftest import call

TABLES = {
    "dko_affected": ["get.affected_genes", "pl.effect"],
    "dko_cluster": ["get.clusters"],
    "dko_dose_response": ["get.dose_response", "pl.dose_response"],
    "dko_enrichment": ["get.enrichment"],
    "dko_evaluation": ["get.evaluation", "pl.evaluation"],
    "dko_identity": ["get.identity"],
    "dko_interactions": ["get.interactions", "pl.pairs"],
    "dko_modules": ["get.modules", "pl.modules"],
    "dko_ranking": ["get.ranking", "pl.ranking", "pl.heatmap"],
}


@pytest.mark.parametrize("place", TABLES)
def test_results_that_are_damaged_are_named(place, fitted):
    """Whatever reads them: no dictionary, no table, a table that has lost a column or holds no numbers."""
    fitted.layers["dko_impact"] = fitted.X
    params = {"method": "dko", "groupby": "all"}
    table = pd.DataFrame({"gene": ["a"], "z": ["no number"]})
    wrong: list[Any] = [
        {"params": params, "table": table},
        {"params": params, "table": {"knockout": 1}},
        {"params": params},
    ]
    if place != "dko_ranking":  # which scanpy has there, too
        wrong += [5, None, {"params": None}]
    for entry in wrong:
        fitted.uns[place] = entry
        for name in TABLES[place]:
            package, function = name.split(".")
            with pytest.raises(
                ValueError, match=rf"^adata.uns\['{place}'\] is not as dko.tl.* has left it: .*; run .*\.$"
            ):
                getattr(getattr(dko, package), function)(fitted)


OF_SCREEN: dict[str, Any] = {"get.effects": {"genes": None}, "tl.perturbation_modules": {}, "io.save": {}}


@pytest.mark.parametrize(
    ("cells_of", "name", "reads"),
    [
        ("fitted", "history", {"get.history": {}}),
        ("fitted", "pairs", {"get.pairs": {}}),
        ("perturbations", "perturbations", OF_SCREEN),
    ],
)
def test_tables_of_a_model_that_are_damaged_are_named(cells_of, name, reads, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adata = request.getfixturevalue(cells_of)
    for table in (None, pd.DataFrame({"step": ["one"]})):
        adata.uns["dko"][name] = table
        for read, how in reads.items():
            with pytest.raises(ValueError, match=rf"^adata.uns\['dko'\] is not as it was written: .*'{name}'.*\.$"):
                call(read, adata, key="dko", **how)
    assert not list(tmp_path.iterdir())
