"""Bad input: one clear sentence that names what is wrong and what to do, and the AnnData exactly as it was."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko

from .conftest import FUNCTIONS, OF_SCREEN, SETS, call, stand_in_for_decoupler

FIT: dict[str, Any] = {"max_steps": 2, "progress": False}
SCREEN: dict[str, Any] = {"perturbation_key": "guide", "control": "control"}
NOBODY = np.zeros(80, dtype=bool)
DIRECT: list[dict[str, Any]] = [{"effects": "direct"}, {"preset": "paper"}, {"rank": 4}]
PRIOR = pd.DataFrame({"source": ["gene_3"], "target": ["gene_9"], "weight": [1.0]})


def fit(**kwargs):
    return lambda adata: dko.tl.fit(adata, **{**FIT, **kwargs})


def ko(genes="gene_2", **kwargs):
    return lambda adata: dko.tl.virtual_ko(adata, genes, **kwargs)


def scan(**kwargs):
    return lambda adata: dko.tl.scan(adata, **kwargs)


def pairs(of=None, **kwargs):
    return lambda adata: dko.tl.double_ko(adata, of, **kwargs)


def get(name, *args, **kwargs):
    return lambda adata: getattr(dko.get, name)(adata, *args, **kwargs)


def value(number, cells=3, genes=4):
    """Put a number into X."""

    def change(adata):
        x = adata.X.toarray()
        x[cells, genes] = number
        adata.X = x

    return change


empty_cell, silent_gene = value(0, 7, slice(None)), value(0, slice(None), 4)


def first_value(number, place):
    """Put a number into the stored values of a sparse matrix."""

    def change(adata):
        adata.layers["scaled"] = adata.X.copy()
        (adata.X if place == "X" else adata.layers[place]).data[0] = number

    return change


def twice(adata):
    names = adata.var_names.to_list()
    names[3] = names[2]
    adata.var_names = names


def raw_twice(adata):
    raw = adata.copy()
    twice(raw)
    adata.raw = raw


def twice_beside_raw(adata):
    adata.raw = adata
    twice(adata)


def keep(n):
    return lambda adata: adata._inplace_subset_obs(np.arange(adata.n_obs) < n)


def drop_genes(adata):
    adata._inplace_subset_var(np.arange(20) != 2)


def no_x(adata):
    adata.X = None


def more_in_raw(adata):
    adata.raw = AnnData(np.ones((80, 21), np.float32), adata.obs, pd.DataFrame(index=[*adata.var_names, "SOX2"]))


def no_map(adata):
    del adata.obsm["X_umap"]


def log_mark(adata):
    adata.uns["log1p"] = {"base": None}


def perturbed(adata):
    adata.obs["guide"] = ["control"] * 3 + ["KO"] * 77


def lose_layer(adata):
    adata.layers["counts"] = adata.X.copy()
    dko.tl.fit(adata, layer="counts", **FIT)
    del adata.layers["counts"]


def validation_alone(adata):
    adata._inplace_subset_obs((adata.obs["dko_split"] == "validation").to_numpy())


def lose_split(adata):
    del adata.obs["dko_split"]


def small_groups(adata):
    adata.obs["small"] = [f"{i // 2}" for i in range(80)]


def fifteen(adata):
    dko.tl.fit(adata, genes=list(adata.var_names[5:]), **FIT)


def scanned(adata):
    dko.tl.scan(adata, genes=["gene_5", "gene_6"])


def after(prepare):
    """Prepare cells that are fitted."""
    return ("fitted", prepare)


FITTED = after(lambda adata: None)
# By the error: what is done to the cells, the call, and what its sentence has to say.
CASES: dict[type[Exception], dict[str, tuple[Any, Any, list[str]]]] = {
    ValueError: {
        "scaled, dense": (value(-1.5), fit(), ["gene_4", "cell_3", "negative", "layer=", "use_raw=True"]),
        "scaled, sparse": (first_value(-1, "X"), fit(), ["cell_0", "negative", "layer="]),
        "scaled layer": (first_value(-1, "scaled"), fit(layer="scaled"), ["cell_0", "negative"]),
        "NaN": (value(np.nan), fit(), ["gene_4", "cell_3", "NaN", "replace it by 0"]),
        "infinity": (value(np.inf), fit(), ["gene_4", "cell_3", "infinite", "replace it by 0"]),
        "NaN, last cell": (value(np.nan, 79, 19), fit(), ["gene_19", "cell_79"]),
        "NaN, select_genes": (value(np.nan), lambda adata: dko.pp.select_genes(adata), ["gene_4", "cell_3"]),
        "NaN after the fit": (after(value(np.nan)), ko(), ["gene_4", "cell_3"]),
        "empty cell": (empty_cell, fit(), ["1 of 80 cells", "cell_7", "sc.pp.filter_cells"]),
        "silent gene": (silent_gene, fit(genes=["gene_4", "gene_5"]), ["No cell expresses", "gene_4"]),
        "silent after the fit": (after(silent_gene), ko(["gene_5", "gene_4"]), ["No chosen cell", "gene_4"]),
        "silent in the group": (
            after(value(0, slice(1, None, 2))),
            ko("gene_4", groups={"cell_type": "CD4/CD8 T"}),
            ["No chosen cell", "gene_4"],
        ),
        "names": (twice, fit(), ["gene_2", "var_names_make_unique()"]),
        "names of raw": (raw_twice, fit(use_raw=True), ["raw.var_names", "gene_2", "adata.raw"]),
        "names beside raw": (twice_beside_raw, fit(use_raw=True), ["gene_2", "var_names_make_unique()"]),
        "names after the fit": (after(twice), ko("gene_5"), ["gene_2", "var_names_make_unique()"]),
        "single cell": (keep(1), fit(), ["at least 5", "got 1"]),
        "no cells": (keep(0), fit(), ["has no cells"]),
        "no genes": (lambda a: a._inplace_subset_var([]), fit(), ["at least 2 expressed genes", "got 0"]),
        "one gene": (None, fit(genes="gene_2"), ["at least 2 expressed genes", "got 1"]),
        "layer and raw": (first_value(1, "X"), fit(layer="scaled", use_raw=True), ["use_raw=True", "not both"]),
        "raw empty": (None, fit(use_raw=True), ["adata.raw is empty", "name a layer"]),
        "X empty": (no_x, fit(), ["adata.X is empty", "layer="]),
        "not logarithms": (value(50.5), fit(log1p=True), ["cannot be logarithms", "the largest is", "log1p=False"]),
        "nothing to write": (FITTED, lambda a: dko.io.write_reference(a, "never"), ["dko.tl.scan"]),
        "dose 2": (FITTED, ko(dose=2), ["dose=2", "from 0 (nothing is removed) to 1"]),
        "dose NaN": (FITTED, ko(dose=np.nan), ["dose=nan must be a number"]),
        "nothing to knock out": (FITTED, ko([]), ["names no gene", "list of symbols"]),
        "an empty tuple": (FITTED, ko(["gene_2", ()]), ["names no gene"]),
        "batch of none": (FITTED, ko(batch_size=0), ["batch_size=0", "at least 1"]),
        "groups without groupby": (FITTED, ko(groups=["B"]), ["groupby", "groups={'column': [...]}"]),
        "silent gene, modules": (
            after(silent_gene),
            lambda a: dko.tl.perturbation_modules(a, ["gene_2", "gene_3", "gene_4"]),
            ["No cell that has a model expresses 'gene_4', so nothing is knocked out"],
        ),
        "nobody, ko": (FITTED, ko(groups=NOBODY), ["No chosen cell"]),
        "nobody, scan": (FITTED, scan(groups=NOBODY), ["No chosen cell"]),
        "nobody, pairs": (FITTED, pairs([("gene_2", "gene_3")], groups=NOBODY), ["No cell"]),
        "nobody, samples": (FITTED, pairs(groups=NOBODY), ["No cell"]),
        "pair of one": (FITTED, pairs([("gene_2", "gene_2")]), ["two different genes", "gene_2"]),
        "three in a pair": (FITTED, pairs([("gene_2", "gene_3", "gene_4")]), ["two different genes"]),
        "a name for a pair": (FITTED, pairs([("gene_2", "gene_3"), "gene_4"]), ["two", "'gene_4'"]),
        "a pair not in a list": (FITTED, pairs(("gene_2", "gene_3")), ["two different genes", "'gene_2'"]),
        "no pairs given": (FITTED, pairs([]), ["two different genes", "got none"]),
        "no samples": (FITTED, pairs(n_samples=0), ["n_samples=0", "at least 1"]),
        "model": (None, fit(model="scvi"), ["'scvi'", "'dko'"]),
        "preset": (None, fit(preset="papre"), ["'papre'", "'paper'"]),
        "covariates": (None, fit(covariates=["donor"]), ["covariates", "groupby="]),
        "nothing left to train": (keep(6), fit(test_fraction=0.9), ["test_fraction=0.9"]),
        "no steps": (None, fit(max_steps=0), ["max_steps=0", "above 0"]),
        "learning rate": (None, fit(learning_rate=-1), ["learning_rate=-1", "above 0"]),
        "top genes": (None, fit(n_top_genes=0), ["n_top_genes=0", "at least 2"]),
        "no such card": (None, fit(device="cuda:99"), ["device='cuda:99'", "'auto' or 'cpu'"]),
        "taken key": (log_mark, fit(key_added="log1p"), ["uns['log1p']", "key_added"]),
        "no cells to choose genes on": (None, lambda a: dko.pp.select_genes(a[:0].copy()), ["no cells"]),
        "small groups": (small_groups, fit(groupby="small"), ["at least 5", "in a group", "got 2"]),
        "control alone": (perturbed, fit(control="control"), ["control='control'", "perturbation_key="]),
        "perturbation alone": (perturbed, fit(perturbation_key="guide"), ["'guide'", "control="]),
        "too few controls": (perturbed, fit(**SCREEN), ["at least 5 unperturbed cells", "got 3"]),
    },
    KeyError: {
        "silent gene": (lambda a: [silent_gene(a), fit()(a)], ko("gene_4"), ["left out", "if any cell expresses it"]),
        "unknown gene, fit": (None, fit(genes=["gene_2", "Gene_33"]), ["Gene_33", "var_names", "gene_3"]),
        "unknown gene": (FITTED, ko(["gene_2", "HSPA1AB"]), ["HSPA1AB", "Did you mean 'HSPA1A/B'"]),
        "unknown genes": (FITTED, ko(list("stuvwxy")), ["No gene 's', 't', 'u', 'v', 'w' and 2 more in var_names"]),
        "unknown gene in a tuple": (FITTED, ko(("gene_2", "GENE_5")), ["GENE_5", "gene_5"]),
        "unknown gene, scan": (FITTED, scan(genes="gene5"), ["gene5", "gene_5"]),
        "unknown gene, pairs": (FITTED, pairs([("gene_2", "zzz")]), ["No gene 'zzz' in var_names."]),
        "unknown gene, effects": (FITTED, get("effects", "gene5"), ["gene5", "gene_5"]),
        "only in raw": (after(more_in_raw), ko("SOX2"), ["'SOX2': in adata.raw but not in var_names", "21"]),
        "left out of the fit": (fifteen, ko("gene_2"), ["left out 'gene_2'", "15 of 20", "genes=[...]"]),
        "left out, pairs": (fifteen, pairs([("gene_2", "gene_6")]), ["left out 'gene_2'", "genes=[...]"]),
        "no map": (after(no_map), lambda a: dko.tl.identity_shift(a, "gene_2"), ["run sc.tl.umap(adata)"]),
        "no layer": (first_value(1, "X"), fit(layer="scale"), ["'scale'", "adata.layers", "'scaled'"]),
        "layer gone": (lose_layer, ko(), ["'counts'", "adata.layers"]),
        "no such result": (after(scanned), get("impact", "gene_7"), ["gene_7", "dko.tl.virtual_ko"]),
        "no pairs": (FITTED, get("pairs"), ["No double knockouts", "dko.tl.double_ko"]),
        "no test cells": (FITTED, get("profiles", split="test"), ["No test cells", "test_fraction=0.2"]),
        "no such split": (FITTED, get("profiles", split="tset"), ["'tset'", "'test'"]),
        "no train cells": (
            after(validation_alone),
            get("fit_quality"),
            ["No train cells", "the AnnData of the fit"],
        ),
        "no split": (after(lose_split), get("fit_quality"), ["run dko.tl.fit"]),
        "genes gone": (after(drop_genes), ko("gene_5"), ["lacks 1 of the 20", "gene_2", "fit again"]),
        "genes gone, scan": (after(drop_genes), scan(), ["gene_2", "fit again"]),
        "start without the genes": (
            fifteen,
            fit(init_from="dko", key_added="new"),
            ["init_from=...", "does not know 5 of the 20 genes", "genes="],
        ),
    },
    TypeError: {
        "unknown keyword": (None, fit(epochs=3), ["epochs="]),
        "modality": (None, lambda a: dko.tl.fit(a.to_df(), **FIT), ["AnnData or a MuData", "DataFrame"]),
    },
    FloatingPointError: {"learning rate": (None, fit(learning_rate=1e30), ["smaller learning_rate"])},
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")  # anndata, where the test makes them so
@pytest.mark.parametrize(("error", "case"), [(error, case) for error, cases in CASES.items() for case in cases])
def test_bad_input(error, case, request, unchanged, tmp_path, monkeypatch):
    prepare, call, said = CASES[error][case]
    fixture, prepare = prepare if isinstance(prepare, tuple) else ("cells", prepare)
    cells = request.getfixturevalue(fixture)
    if prepare is not None:
        prepare(cells)
    monkeypatch.chdir(tmp_path)
    with unchanged(cells), pytest.raises(error) as raised:
        call(cells)
    message = raised.value.args[0]
    for part in said:
        assert part in message
    assert type(raised.value) is error
    assert "\n" not in message
    assert message.endswith((".", "?"))
    assert list(tmp_path.iterdir()) == []


def test_unknown_modality(cells, mudata_of):
    with pytest.raises(KeyError, match="No modality 'RNA' in the MuData. Did you mean 'rna'.*It has 'rna'."):
        dko.tl.fit(mudata_of(rna=cells), mod="RNA", **FIT)


def test_a_key_that_holds_something_else(cells):
    cells.uns["dko"] = pd.DataFrame({"weights": [1]})
    with pytest.raises(KeyError, match="No fitted model"):
        dko.tl.scan(cells)


# What each of these reads; all others read a fit.
READ = {
    "scan": "tl.cluster_impact get.impact get.impact_table get.ranking pl.heatmap pl.impact pl.ranking pl.waterfall",
    "affected_genes": "tl.enrichment get.affected_genes pl.effect",
    "cluster_impact": "get.clusters",
    "dose_response": "get.dose_response pl.dose_response",
    "enrichment": "get.enrichment",
    "evaluate": "get.evaluation pl.evaluation",
    "identity_shift": "get.identity pl.shift",
    "interactions": "get.interactions pl.pairs",
    "perturbation_modules": "get.modules pl.modules",
}
VERBS = {name: verb for verb, names in READ.items() for name in names.split()}
KEYED = [name for name, of in FUNCTIONS.items() if "key" in inspect.signature(of).parameters]


@pytest.mark.parametrize("name", KEYED)
def test_what_is_not_there_is_answered_with_the_verb_to_run(name, cells, unchanged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stand_in_for_decoupler(monkeypatch)
    cells.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 30
    verb = VERBS.get(name, "fit")
    message = rf"^No .* run .*dko\.tl\.{verb}\(adata.*key(_added)?='mine'\) first\.$"
    with unchanged(cells), pytest.raises(KeyError) as raised:
        call(name, cells, key="mine")
    assert re.search(message, raised.value.args[0])
    assert list(tmp_path.iterdir()) == []


# By function, as `call` calls it on cells that have every result: other arguments, the error and what it says.
ARGUMENTS: dict[str, list[tuple[dict[str, Any], type[Exception], str]]] = {
    "tl.fit": [
        ({"rank": 20}, ValueError, "rank=20 must be below the number of genes, 20; leave it out for the full map"),
        ({"rank": 0}, ValueError, "rank=0 must be a whole number above 0"),
        ({"rank": 2.5}, ValueError, "rank=2.5 must be a whole number or None"),
        ({"preset": "paper", "rank": 3}, ValueError, "preset='paper' has layers as wide as there are genes"),
        ({"init_from": "nowhere"}, FileNotFoundError, "init_from='nowhere' is neither a key of adata.uns nor a file"),
        ({"init_from": "dko", "rank": 4}, ValueError, "init_from=... holds a full map; leave out rank=..."),
        ({"effects": "all"}, ValueError, "No effects 'all'; choose one of auto, direct, total"),
        ({"effects": "total", "preset": "paper"}, ValueError, "preset='paper' has direct effects only"),
        ({"effects": "total", "rank": 4}, ValueError, "rank=... has direct effects only"),
        *(({"prior": PRIOR, **how}, ValueError, "prior=... is a part of total effects") for how in DIRECT),
        ({"prior": PRIOR, "model": "sccvae"}, TypeError, "model='sccvae' takes no 'prior'"),
        *(({"validation_fraction": x}, ValueError, f"validation_fraction={x} must be .*below 1") for x in (0, 1, -0.1)),
        *(({"test_fraction": x}, ValueError, f"test_fraction={x} must be .*below 1") for x in (1, -0.1)),
    ],
    "tl.rank_genes": [
        ({"by": "impact"}, ValueError, "by='impact' must be one of 'downstream_mean'"),
        ({"by": "specificity"}, ValueError, "name their column"),
        ({"groups": "B"}, ValueError, "needs the obs column"),
        ({"groupby": "cell_type", "groups": []}, ValueError, r"groups=\[\] names no group"),
        ({"groupby": "cell_type", "groups": ["T"]}, KeyError, "No group 'T'"),
        ({"key_added": "dko"}, ValueError, "holds a model; choose another key_added"),
    ],
    "tl.affected_genes": [
        ({"gene": "gene_70"}, KeyError, "No gene 'gene_70' in var_names"),
        ({"gene": ("gene_7", "gene_8")}, TypeError, "those of single knockouts"),
        ({"n_others": -1}, ValueError, "n_others=-1 must be at least 0"),
        ({"groups": "B"}, ValueError, "needs the obs column"),
        ({"groupby": "cell_type", "groups": "T"}, KeyError, "No group 'T'"),
    ],
    "tl.cluster_impact": [
        ({"groupby": "cell_typ"}, KeyError, "No column 'cell_typ' in adata.obs. Did you mean 'cell_type'"),
        ({"genes": ["gene_3", "gene_x"]}, KeyError, "No knockout 'gene_x'"),
        ({"genes": ["gene_3", "gene_2"]}, ValueError, r"need at least 3 cells, and 3 .* and 2: run dko.tl.scan"),
        *(({name: 0}, ValueError, f"{name}=0 must be at least") for name in ("n_neighbors", "n_pcs", "min_cells")),
        ({"n_markers": 0}, ValueError, "n_markers=0 must be at least"),
        ({"resolution": 0}, ValueError, "resolution=0 must be above 0"),
        ({"groupby": "empty"}, ValueError, "No cell has a value in obs.'empty'., so there are no groups"),
        ({"key": OF_SCREEN}, ValueError, "holds a model of kind 'sccvae'"),
    ],
    "tl.dose_response": [
        ({"doses": []}, ValueError, "must hold at least one number"),
        ({"doses": [0.5, np.nan]}, ValueError, "neither NaN nor infinity"),
        ({"doses": [1.1], "extrapolate": True}, ValueError, r"dose 1.1 is outside 0 .*'sccvae'"),
        ({"n_responders": 0}, ValueError, "n_responders=0 must be at least 1"),
        ({"groups": {"of": "lacks"}}, ValueError, "No chosen cell that has a model expresses 'gene_2'"),
        ({"genes": "gene_x"}, KeyError, "No gene 'gene_x' in var_names"),
        ({"genes": "gene_x", "key": OF_SCREEN}, KeyError, "No gene 'gene_x'"),
        ({"doses": [0.5, -0.1], "key": OF_SCREEN}, ValueError, r"The dose -0.1 is outside 0 \(no knockout\)"),
        ({"doses": [1.2], "key": OF_SCREEN}, ValueError, r"The dose 1.2 is outside 0 \(no knockout\) to 1"),
        ({"doses": [1.2], "extrapolate": True, "mixture": True, "key": OF_SCREEN}, ValueError, "outside 0"),
    ],
    "tl.identity_shift": [
        ({"basis": "tsne"}, KeyError, "No embedding 'tsne'"),
        ({"genes": "gene_x"}, KeyError, "No gene 'gene_x'"),
        ({"groupby": "celltype"}, KeyError, "No column 'celltype'"),
        ({"dose": 1.1}, ValueError, "dose=1.1 must be from 0"),
        ({"groupby": "of", "groups": {"typed": False}}, ValueError, "No chosen cell with a knocked"),
        *(({name: 0}, ValueError, f"{name}=0 must be at least 1") for name in ("n_neighbors", "n_pcs", "batch_size")),
        ({"genes": ["gene_2", "gene_3"], "groups": {"of": "lacks"}}, ValueError, "No chosen .* expresses 'gene_2'"),
    ],
    "tl.interactions": [
        ({"genes": ["gene_2"]}, ValueError, "makes no pair"),
        ({"genes": [("gene_2", "gene_2")]}, ValueError, "two different genes"),
        ({"genes": ["gene_2", ("gene_3", "gene_4")]}, ValueError, "either genes alone or pairs .*, got 'gene_2'"),
        ({"n_permutations": 9}, ValueError, "at least 10"),
        ({"alpha": 0.0}, ValueError, "alpha=0.0 must be above 0"),
        ({"groups": NOBODY}, ValueError, "None of the chosen cells has a model"),
        ({"groupby": "empty"}, ValueError, "has a value in obs.'empty'., so there are no groups"),
        ({"min_cells": 81}, ValueError, "is expressed by 81 cells"),
    ],
    "tl.perturbation_modules": [
        ({"genes": "gene_3"}, ValueError, "Modules are of several knockouts, got 1"),
        ({"genes": ["gene_3", "gene_x"]}, KeyError, "No gene 'gene_x'"),
        ({"basis": "pca"}, ValueError, "basis='pca' must be one of 'latent', 'effect'"),
        ({"basis": "latent", "key": "dko"}, ValueError, "basis='latent' is for a fit with model='sccvae'"),
        ({"resolution": 0}, ValueError, "resolution=0 must be above 0"),
        ({"alpha": 0}, ValueError, "alpha=0 must be above 0"),
        ({"n_null": 10, "alpha": 0.05}, ValueError, "n_null=10 is too few .* alpha=0.05; take at least 19"),
        ({"n_markers": 0}, ValueError, "n_markers=0 must be at least 1"),
        ({"groups": {"gene_9": "a"}}, ValueError, "groups has . groups for . of the 2 perturbations"),
    ],
    "tl.enrichment": [
        ({"net": SETS[["source"]]}, ValueError, "net lacks the column 'target'"),
        ({"net": None}, TypeError, "net=None must be a DataFrame"),
        ({"min_targets": 0}, ValueError, "min_targets=0 must be at least 1"),
        ({"min_targets": 9}, ValueError, "No set of net has 9 genes"),
        ({"method": "gsea"}, ValueError, "method='gsea' is no function of decoupler.mt"),
    ],
    "tl.evaluate": [
        ({"control": "contrl"}, KeyError, r"No value 'contrl' in obs\['knockout'\]\. Did you mean 'control'"),
        ({"perturbations": []}, ValueError, r"perturbations=\[\] names none to score; leave it out"),
        ({"control": "gene_3", "perturbations": ["control"]}, ValueError, "is a gene that the model can knock out"),
    ],
    "get.impact": [
        ({"genes": 1.5}, TypeError, "genes=1.5 is not a name"),
        ({"genes": np.arange(4).reshape(2, 2)}, TypeError, "genes holds .*0.*, which is not a name"),
    ],
    "get.fit_quality": [
        ({"split": "test"}, KeyError, "No test cells"),
        ({"groupby": "cell_typ"}, KeyError, "Did you mean 'cell_type'"),
    ],
    "io.write_embedding": [
        ({"basis": "tsne"}, KeyError, r"No embedding 'tsne' in adata\.obsm"),
        ({"genes": ["gene_99"]}, KeyError, "No .*'gene_99'"),
        ({"groupby": "cell_typ"}, KeyError, "Did you mean 'cell_type'"),
    ],
    "io.write_report": [
        ({"n_genes": 0}, ValueError, "n_genes=0 must be at least 1"),
        ({"path": "gone/report.html"}, FileNotFoundError, "does not exist; make it first"),
    ],
    "pp.split_perturbations": [
        ({"n_folds": 15}, ValueError, r"n_folds=15 is more than there are perturbations in obs\['knockout'\]"),
        ({"key_added": "knockout"}, ValueError, "key_added='knockout' is the column of the perturbations"),
        ({"test_controls": 1.0}, ValueError, r"test_controls=1\.0 must be at least 0 and below 1"),
        ({"validation_perturbations": 0.8}, ValueError, r"more than there are .* without 2 for validation: "),
        ({"control": "contrl"}, KeyError, r"No value 'contrl' in obs\['knockout'\]\. Did you mean 'control'"),
        ({"control": "NT"}, KeyError, r"No value 'NT' in obs\['knockout'\]\. There are 'control', 'gene_3'"),
        ({"perturbation_key": "knockouts"}, KeyError, "No column 'knockouts' in adata.obs. Did you mean 'knockout'"),
    ],
}


@pytest.mark.parametrize(
    ("name", "how", "error", "says"), [(name, *row) for name, rows in ARGUMENTS.items() for row in rows]
)
def test_wrong_arguments(name, how, error, says, finished, unchanged, monkeypatch):
    stand_in_for_decoupler(monkeypatch)
    finished.obs["empty"] = pd.Categorical([None] * 80)
    finished.obs["of"] = np.where(finished[:, "gene_2"].X.toarray().ravel() > 0, "has", "lacks")
    finished.obs["typed"] = np.arange(80) > 9
    finished.obs.loc[~finished.obs["typed"], "of"] = None
    with unchanged(finished), pytest.raises(error, match=says) as raised:
        call(name, finished, **how)
    assert "\n" not in str(raised.value)
