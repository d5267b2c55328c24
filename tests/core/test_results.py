"""Results in ``uns`` that were damaged are named, whoever reads them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import dko

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


@pytest.mark.parametrize(("name", "call"), [("history", "history"), ("pairs", "pairs")])
def test_tables_beside_a_model_that_are_damaged_are_named(name, call, fitted):
    fitted.uns["dko"][name] = pd.DataFrame({"step": ["one"]})
    with pytest.raises(ValueError, match=rf"^adata.uns\['dko'\] is not as it was written: .*'{name}'.*\.$"):
        getattr(dko.get, call)(fitted)


def test_perturbations_that_are_damaged_are_named(perturbations, tmp_path):
    for table in (None, pd.DataFrame({"perturbation": ["gene_3"]})):
        perturbations.uns["dko"]["perturbations"] = table
        for call in (
            dko.get.effects,
            dko.tl.perturbation_modules,
            lambda adata: dko.io.save(adata, tmp_path / "m.npz"),
        ):
            with pytest.raises(ValueError, match=r"^adata.uns\['dko'\] is not as it was written: .*'perturbations'"):
                call(perturbations)
    assert not list(tmp_path.iterdir())
