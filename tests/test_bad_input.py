"""Bad input: one clear sentence that names what is wrong and what to do, and the AnnData exactly as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko

FIT: dict[str, Any] = {"max_steps": 2, "progress": False}


def fit(**kwargs):
    return lambda adata: dko.tl.fit(adata, **{**FIT, **kwargs})


def ko(genes="gene_2", **kwargs):
    return lambda adata: dko.tl.virtual_ko(adata, genes, **kwargs)


def scan(**kwargs):
    return lambda adata: dko.tl.scan(adata, **kwargs)


def pairs(of=None, **kwargs):
    return lambda adata: dko.tl.double_ko(adata, of, **kwargs)


def shift(basis):
    return lambda adata: dko.tl.identity_shift(adata, "gene_2", basis=basis)


def get(name, *args, **kwargs):
    return lambda adata: getattr(dko.get, name)(adata, *args, **kwargs)


def value(number, cell=3, gene=4):
    """Put a number into X."""

    def change(adata):
        x = adata.X.toarray()
        x[cell, gene] = number
        adata.X = x

    return change


def sparse_value(number):
    def change(adata):
        adata.X.data[adata.X.indptr[3]] = number

    return change


def empty_cell(adata):
    x = adata.X.toarray()
    x[7] = 0
    adata.X = x


def silent_gene(adata):
    x = adata.X.toarray()
    x[:, 4] = 0
    adata.X = x


def layer(number):
    def change(adata):
        adata.layers["scaled"] = adata.X.copy()
        adata.layers["scaled"].data[0] = number

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


def only_in_raw(adata):
    dko.tl.fit(adata, **FIT)
    adata.raw = AnnData(np.ones((80, 21), np.float32), adata.obs, pd.DataFrame(index=[*adata.var_names, "SOX2"]))


def no_map(adata):
    dko.tl.fit(adata, **FIT)
    del adata.obsm["X_umap"]


def log_mark(adata):
    adata.uns["log1p"] = {"base": None}


def perturbed(adata):
    adata.obs["guide"] = ["control"] * 3 + ["KO"] * 77


def fifteen(adata):
    dko.tl.fit(adata, genes=list(adata.var_names[5:]), **FIT)


def lose_layer(adata):
    adata.layers["counts"] = adata.X.copy()
    dko.tl.fit(adata, layer="counts", **FIT)
    del adata.layers["counts"]


def silent_after_fit(adata):
    dko.tl.fit(adata, **FIT)
    silent_gene(adata)


def small_groups(adata):
    adata.obs["small"] = [f"{i // 2}" for i in range(80)]


def only_in_b(adata):
    x = adata.X.toarray()
    x[adata.obs["cell_type"] != "B", 4] = 0
    adata.X = x
    dko.tl.fit(adata, **FIT)


def scanned(adata):
    dko.tl.fit(adata, **FIT)
    dko.tl.scan(adata, genes=["gene_5", "gene_6"])


# What is done to unfitted cells ("fitted" means: fit them), the call, the error, and what its sentence has to say.
CASES: dict[str, Any] = {
    "scaled, dense": (value(-1.5), fit(), ValueError, ["gene_4", "cell_3", "negative", "layer=", "use_raw=True"]),
    "scaled, sparse": (sparse_value(-1), fit(), ValueError, ["cell_3", "negative", "layer="]),
    "scaled layer": (layer(-1), fit(layer="scaled"), ValueError, ["cell_0", "negative"]),
    "NaN": (value(np.nan), fit(), ValueError, ["gene_4", "cell_3", "NaN", "replace it by 0"]),
    "infinity": (value(np.inf), fit(), ValueError, ["gene_4", "cell_3", "infinite", "replace it by 0"]),
    "NaN, last cell": (value(np.nan, 79, 19), fit(), ValueError, ["gene_19", "cell_79"]),
    "NaN, select_genes": (value(np.nan), lambda adata: dko.pp.select_genes(adata), ValueError, ["gene_4", "cell_3"]),
    "NaN after the fit": (lambda a: [dko.tl.fit(a, **FIT), value(np.nan)(a)], ko(), ValueError, ["gene_4", "cell_3"]),
    "empty cell": (empty_cell, fit(), ValueError, ["1 of 80 cells", "cell_7", "sc.pp.filter_cells"]),
    "silent gene, fit": (silent_gene, fit(genes=["gene_4", "gene_5"]), ValueError, ["No cell expresses", "gene_4"]),
    "silent gene, knocked out": (
        lambda a: [silent_gene(a), dko.tl.fit(a, **FIT)],
        ko("gene_4"),
        KeyError,
        ["gene_4", "left out", "if any cell expresses it"],
    ),
    "no cell expresses the gene": (
        silent_after_fit,
        ko(["gene_5", "gene_4"]),
        ValueError,
        ["No chosen cell", "gene_4"],
    ),
    "no cell of the groups": (
        only_in_b,
        ko("gene_4", groups={"cell_type": "CD4/CD8 T"}),
        ValueError,
        ["No chosen cell", "gene_4"],
    ),
    "unknown gene, fit": (None, fit(genes=["gene_2", "Gene_33"]), KeyError, ["Gene_33", "var_names", "gene_3"]),
    "unknown gene": ("fitted", ko(["gene_2", "HSPA1AB"]), KeyError, ["HSPA1AB", "Did you mean 'HSPA1A/B'"]),
    "unknown genes": (
        "fitted",
        ko(list("stuvwxy")),
        KeyError,
        ["No gene 's', 't', 'u', 'v', 'w' and 2 more in var_names"],
    ),
    "a gene that only raw has": (
        only_in_raw,
        ko("SOX2"),
        KeyError,
        ["'SOX2': in adata.raw but not in var_names", "21"],
    ),
    "no such map": ("fitted", shift("tsne"), KeyError, ["No embedding 'tsne' in adata.obsm; there are 'X_umap'."]),
    "no map": (no_map, shift("umap"), KeyError, ["there is none; run sc.tl.umap(adata) first"]),
    "unknown gene in a tuple": ("fitted", ko(("gene_2", "GENE_5")), KeyError, ["GENE_5", "gene_5"]),
    "unknown gene, scan": ("fitted", scan(genes="gene5"), KeyError, ["gene5", "gene_5"]),
    "unknown gene, pairs": ("fitted", pairs([("gene_2", "zzz")]), KeyError, ["No gene 'zzz' in var_names."]),
    "unknown gene, effects": ("fitted", get("effects", "gene5"), KeyError, ["gene5", "gene_5"]),
    "left out of the fit": (fifteen, ko("gene_2"), KeyError, ["left out 'gene_2'", "15 of 20", "genes=[...]"]),
    "left out, pairs": (fifteen, pairs([("gene_2", "gene_6")]), KeyError, ["left out 'gene_2'", "genes=[...]"]),
    "duplicated names": (twice, fit(), ValueError, ["gene_2", "var_names_make_unique()"]),
    "duplicated names, raw": (raw_twice, fit(use_raw=True), ValueError, ["raw.var_names", "gene_2", "adata.raw"]),
    "duplicated names beside raw": (
        twice_beside_raw,
        fit(use_raw=True),
        ValueError,
        ["gene_2", "var_names_make_unique()"],
    ),
    "duplicated names after the fit": (
        lambda a: [dko.tl.fit(a, **FIT), twice(a)],
        ko("gene_5"),
        ValueError,
        ["gene_2", "var_names_make_unique()"],
    ),
    "single cell": (keep(1), fit(), ValueError, ["at least 5", "got 1"]),
    "no cells": (keep(0), fit(), ValueError, ["has no cells"]),
    "no genes": (lambda a: a._inplace_subset_var([]), fit(), ValueError, ["at least 2 expressed genes", "got 0"]),
    "one gene": (None, fit(genes="gene_2"), ValueError, ["at least 2 expressed genes", "got 1"]),
    "no layer": (layer(1), fit(layer="scale"), KeyError, ["'scale'", "adata.layers", "'scaled'"]),
    "layer gone": (lose_layer, ko(), KeyError, ["'counts'", "adata.layers"]),
    "layer and raw": (layer(1), fit(layer="scaled", use_raw=True), ValueError, ["use_raw=True", "not both"]),
    "raw empty": (None, fit(use_raw=True), ValueError, ["adata.raw is empty", "name a layer"]),
    "X empty": (no_x, fit(), ValueError, ["adata.X is empty", "layer="]),
    "not logarithms": (
        value(50.5),
        fit(log1p=True),
        ValueError,
        ["cannot be logarithms", "the largest is", "log1p=False"],
    ),
    "no fit, virtual_ko": (None, ko(), KeyError, ["No fitted model", "dko.tl.fit(adata, key_added='dko')"]),
    "no fit, other key": ("fitted", ko(key="mine"), KeyError, ["uns['mine']", "key_added='mine'"]),
    "no fit, scan": (None, scan(), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, double_ko": (None, pairs(), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, effects": (None, get("effects"), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, profiles": (None, get("profiles"), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, history": (None, get("history"), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, save": (None, lambda a: dko.io.save(a, "never.npz"), KeyError, ["No fitted model", "dko.tl.fit"]),
    "no fit, reference": (None, lambda a: dko.io.write_reference(a, "never"), KeyError, ["No fitted model"]),
    "nothing for the reference": ("fitted", lambda a: dko.io.write_reference(a, "never"), ValueError, ["dko.tl.scan"]),
    "no results": ("fitted", get("impact"), KeyError, ["No knockouts", "dko.tl.virtual_ko", "dko.tl.scan"]),
    "no such result": (scanned, get("impact", "gene_7"), KeyError, ["gene_7", "dko.tl.virtual_ko"]),
    "no scan, table": ("fitted", get("impact_table"), KeyError, ["No scan", "dko.tl.scan"]),
    "no scan, ranking": ("fitted", get("ranking"), KeyError, ["No scan", "dko.tl.scan"]),
    "no pairs": ("fitted", get("pairs"), KeyError, ["No double knockouts", "dko.tl.double_ko"]),
    "no test cells": ("fitted", get("profiles", split="test"), KeyError, ["No test cells", "test_fraction=0.2"]),
    "no such split": ("fitted", get("profiles", split="tset"), KeyError, ["'tset'", "'test'"]),
    "genes gone": (
        lambda a: [dko.tl.fit(a, **FIT), drop_genes(a)],
        ko("gene_5"),
        KeyError,
        ["lacks 1 of the 20", "gene_2", "fit again"],
    ),
    "genes gone, scan": (lambda a: [dko.tl.fit(a, **FIT), drop_genes(a)], scan(), KeyError, ["gene_2", "fit again"]),
    "dose 2": ("fitted", ko(dose=2), ValueError, ["dose=2", "from 0 (nothing is removed) to 1"]),
    "dose NaN": ("fitted", ko(dose=np.nan), ValueError, ["dose=nan", "dose=nan must be a number"]),
    "nothing to knock out": ("fitted", ko([]), ValueError, ["names no gene", "list of symbols"]),
    "an empty tuple": ("fitted", ko(["gene_2", ()]), ValueError, ["names no gene"]),
    "batch of none": ("fitted", ko(batch_size=0), ValueError, ["batch_size=0", "at least 1"]),
    "negative batch": ("fitted", scan(batch_size=-1), ValueError, ["batch_size=-1", "at least 1"]),
    "groups without groupby": ("fitted", ko(groups=["B"]), ValueError, ["groupby", "groups={'column': [...]}"]),
    "unknown group": ("fitted", ko(groups={"cell_type": ["b"]}), KeyError, ["'b'", "obs['cell_type']", "'B'"]),
    "unknown column": ("fitted", ko(groups={"celltype": "B"}), KeyError, ["'celltype'", "'cell_type'"]),
    "short mask": ("fitted", scan(groups=np.ones(3, dtype=bool)), ValueError, ["one boolean per cell (80)", "(3,)"]),
    "numbers for a mask": ("fitted", scan(groups=np.ones(80)), ValueError, ["one boolean per cell (80)", "float64"]),
    "nobody chosen, ko": ("fitted", ko(groups=np.zeros(80, dtype=bool)), ValueError, ["No chosen cell"]),
    "nobody chosen, scan": ("fitted", scan(groups=np.zeros(80, dtype=bool)), ValueError, ["No chosen cell"]),
    "nobody chosen, pairs": (
        "fitted",
        pairs([("gene_2", "gene_3")], groups=np.zeros(80, dtype=bool)),
        ValueError,
        ["No cell"],
    ),
    "nobody chosen, samples": ("fitted", pairs(groups=np.zeros(80, dtype=bool)), ValueError, ["No cell"]),
    "pair of one": ("fitted", pairs([("gene_2", "gene_2")]), ValueError, ["two different genes", "gene_2"]),
    "three in a pair": ("fitted", pairs([("gene_2", "gene_3", "gene_4")]), ValueError, ["two different genes"]),
    "a name for a pair": ("fitted", pairs([("gene_2", "gene_3"), "gene_4"]), ValueError, ["two", "'gene_4'"]),
    "a pair not in a list": ("fitted", pairs(("gene_2", "gene_3")), ValueError, ["two different genes", "'gene_2'"]),
    "no pairs given": ("fitted", pairs([]), ValueError, ["two different genes", "got none"]),
    "no samples": ("fitted", pairs(n_samples=0), ValueError, ["n_samples=0", "at least 1"]),
    "model": (None, fit(model="scvi"), ValueError, ["'scvi'", "'dko'"]),
    "preset": (None, fit(preset="papre"), ValueError, ["'papre'", "'paper'"]),
    "covariates": (None, fit(covariates=["donor"]), ValueError, ["covariates", "groupby="]),
    "unknown keyword": (None, fit(epochs=3), TypeError, ["epochs="]),
    "validation of nothing": (
        None,
        fit(validation_fraction=0),
        ValueError,
        ["validation_fraction=0", "above 0 and below 1"],
    ),
    "test of everything": (None, fit(test_fraction=1), ValueError, ["test_fraction=1", "below 1"]),
    "nothing left to train": (keep(6), fit(test_fraction=0.9), ValueError, ["test_fraction=0.9"]),
    "no steps": (None, fit(max_steps=0), ValueError, ["max_steps=0", "above 0"]),
    "no cells per step": (None, fit(batch_size=0), ValueError, ["batch_size=0", "at least 1"]),
    "learning rate": (None, fit(learning_rate=-1), ValueError, ["learning_rate=-1", "above 0"]),
    "too large a learning rate": (None, fit(learning_rate=1e30), FloatingPointError, ["smaller learning_rate"]),
    "top genes": (None, fit(n_top_genes=0), ValueError, ["n_top_genes=0", "at least 2"]),
    "no such card": (None, fit(device="cuda:99"), ValueError, ["device='cuda:99'", "'auto' or 'cpu'"]),
    "taken key": (log_mark, fit(key_added="log1p"), ValueError, ["uns['log1p']", "key_added"]),
    "no cells to choose genes on": (None, lambda a: dko.pp.select_genes(a[:0].copy()), ValueError, ["no cells"]),
    "device": (None, fit(device="gpu"), ValueError, ["device='gpu'", "'auto' or 'cpu'"]),
    "groupby": (None, fit(groupby="celltype"), KeyError, ["'celltype'", "adata.obs", "'cell_type'"]),
    "small groups": (small_groups, fit(groupby="small"), ValueError, ["at least 5", "in a group", "got 2"]),
    "control alone": (perturbed, fit(control="control"), ValueError, ["control='control'", "perturbation_key="]),
    "perturbation alone": (perturbed, fit(perturbation_key="guide"), ValueError, ["'guide'", "control="]),
    "no such control": (
        perturbed,
        fit(perturbation_key="guide", control="ctrl"),
        KeyError,
        ["'ctrl'", "obs['guide']", "'control'"],
    ),
    "too few controls": (
        perturbed,
        fit(perturbation_key="guide", control="control"),
        ValueError,
        ["at least 5 unperturbed cells", "got 3"],
    ),
    "no start": (None, fit(init_from="other"), FileNotFoundError, ["'other'", "uns"]),
    "start without the genes": (
        fifteen,
        fit(init_from="dko", key_added="new"),
        KeyError,
        ["init_from=...", "does not know 5 of the 20 genes", "genes="],
    ),
    "modality": (None, lambda a: dko.tl.fit(a.to_df(), **FIT), TypeError, ["AnnData or a MuData", "DataFrame"]),
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")  # anndata, where the test makes them so
@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, request, unchanged, tmp_path, monkeypatch):
    prepare, call, error, said = CASES[case]
    cells = request.getfixturevalue("fitted" if prepare == "fitted" else "cells")
    if callable(prepare):
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
