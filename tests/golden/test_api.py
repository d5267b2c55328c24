"""Every public name with its parameters, so that none is lost or renamed unseen.

The list lies in ``api.txt`` beside this file; ``DKO_GOLDEN=write`` rewrites it where a change is meant. What was
promised is spelled out here, and stays.
"""

from __future__ import annotations

import csv
import inspect
import os
from pathlib import Path

import pytest

import dko

HERE = Path(__file__).parent
PACKAGES = ("tl", "get", "pl", "pp", "io", "metrics", "datasets")


def parameters(function):
    """Names, kinds and defaults of parameters, without their types."""
    found = inspect.signature(function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_public_names_and_parameters_are_those_stored():
    found = [f"dko.{name}" for name in dko.__all__]
    for package in PACKAGES:
        module = getattr(dko, package)
        found += [f"dko.{package}.{name}{parameters(getattr(module, name))}" for name in module.__all__]
    found += [f"dko.models.{name}" for name in dko.models.__all__]
    found += [f"dko.settings.{name}" for name in vars(dko.settings)]
    path = HERE / "api.txt"
    if os.environ.get("DKO_GOLDEN") == "write":
        path.write_text("\n".join(found) + "\n")
    assert found == path.read_text().splitlines()


PROMISED = {
    "tl.fit": "adata model preset layer use_raw genes groupby covariates perturbation_key control mod init_from "
    "max_epochs max_steps batch_size learning_rate validation_fraction patience device progress rng "
    "key_added copy prior",
    "tl.virtual_ko": "adata genes dose groups profiles key device batch_size copy",
    "tl.scan": "adata genes groups key device batch_size copy downstream",
    "tl.double_ko": "adata pairs n_samples groups key rng device copy",
    "tl.rank_genes": "adata groupby key",
    "tl.affected_genes": "adata gene groupby key",
    "tl.cluster_impact": "adata key resolution rng key_added",
    "tl.dose_response": "adata genes doses key",
    "tl.perturbation_modules": "adata key",
    "tl.evaluate": "adata perturbation_key control key baselines",
    "tl.interactions": "adata genes groupby key",
    "tl.identity_shift": "adata genes basis groupby key",
    "get.impact": "adata as_anndata key",
    "get.impact_table": "adata key",
    "get.effects": "adata genes groupby key",
    "get.ranking": "adata key",
    "get.pairs": "adata key",
    "get.history": "adata key",
    "get.evaluation": "adata key",
    "pl.impact": "adata genes basis",
    **{f"pl.{name}": "adata" for name in "ranking heatmap profile effect pairs history fit shift modules".split()},
    "pl.dose_response": "adata",
    "datasets.grn": "n_cells n_genes rng",
    "io.save": "adata path key",
    "io.load": "adata path key_added",
    "io.read_reference": "path",
    "io.write_reference": "adata dir key",
}
DEFAULTS = {"key": "dko", "key_added": "dko", "mod": "rna", "rng": 0, "device": "auto", "copy": False, "dose": 1.0}


# Where results go, by story.
KEYS = {
    "grn": "uns/dko/params/model uns/dko/genes uns/dko/weights/influence obs[dko_split] obs[dko_fit_error] "
    "uns/dko/history[step] uns/dko/history[epoch] uns/dko/history[train_loss] layers/dko_impact layers/dko_downstream "
    "var[dko_impact_mean] layers/dko_ko_gene_1+gene_5 obsm/dko_impact[gene_3] obsm/dko_downstream[gene_1+gene_5] "
    "uns/dko/pairs[gene_a] uns/dko/pairs[gene_b] uns/dko/pairs[cell] uns/dko/pairs[impact] uns/dko/pairs[additive] "
    "uns/dko/pairs[interaction] uns/dko_ranking/names varm/dko_ranking[B] uns/dko_interactions/table[interaction] "
    "uns/dko_affected/table[gene] obs[dko_cluster] uns/dko_dose_response/table[dose] obsm/dko_shift_umap_gene_3 "
    "[gene_id] [cell_id] [impact]",
    "perturb_seq": "layers/dko_ko_gene_0 uns/dko_modules/table[module] uns/dko_evaluation/summary[mean]",
}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_parameters_are_there(name):
    package, function = name.split(".")
    there = inspect.signature(getattr(getattr(dko, package), function)).parameters
    assert set(PROMISED[name].split()) <= set(there)
    for parameter in set(DEFAULTS) & set(there) if package in ("tl", "get") else ():
        assert there[parameter].default in (DEFAULTS[parameter], None)


@pytest.mark.parametrize("story", KEYS)
def test_promised_keys_are_written(story):
    with (HERE / f"{story}.tsv").open(newline="") as file:
        written = {place for _, place, *_ in csv.reader(file, delimiter="\t")}
    assert set(KEYS[story].split()) <= written
