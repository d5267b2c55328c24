"""Bad input: one clear sentence that names what is wrong and what to do, and the AnnData exactly as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko

FIT: dict[str, Any] = {"max_steps": 2, "progress": False}
SCREEN: dict[str, Any] = {"perturbation_key": "guide", "control": "control"}
NOBODY = np.zeros(80, dtype=bool)


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
        "validation": (None, fit(validation_fraction=0), ["validation_fraction=0", "above 0 and below 1"]),
        "test of everything": (None, fit(test_fraction=1), ["test_fraction=1", "below 1"]),
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
        "no map": (
            after(no_map),
            lambda a: dko.tl.identity_shift(a, "gene_2"),
            ["run sc.tl.umap(adata)"],
        ),
        "no layer": (first_value(1, "X"), fit(layer="scale"), ["'scale'", "adata.layers", "'scaled'"]),
        "layer gone": (lose_layer, ko(), ["'counts'", "adata.layers"]),
        "no fit, other key": (FITTED, ko(key="mine"), ["uns['mine']", "key_added='mine'"]),
        **{
            f"no fit, {call}": (None, how, ["No fitted model", "dko.tl.fit(adata, key_added='dko')"])
            for call, how in {
                **{"virtual_ko": ko(), "scan": scan(), "double_ko": pairs()},
                **{name: get(name) for name in ("effects", "profiles", "history")},
                "save": lambda a: dko.io.save(a, "never.npz"),
                "write_reference": lambda a: dko.io.write_reference(a, "never"),
            }.items()
        },
        "no results": (FITTED, get("impact"), ["No knockouts", "dko.tl.virtual_ko", "dko.tl.scan"]),
        "no such result": (after(scanned), get("impact", "gene_7"), ["gene_7", "dko.tl.virtual_ko"]),
        "no scan, table": (FITTED, get("impact_table"), ["No scan", "dko.tl.scan"]),
        "no scan, ranking": (FITTED, get("ranking"), ["No scan", "dko.tl.scan"]),
        "no pairs": (FITTED, get("pairs"), ["No double knockouts", "dko.tl.double_ko"]),
        "no test cells": (FITTED, get("profiles", split="test"), ["No test cells", "test_fraction=0.2"]),
        "no such split": (FITTED, get("profiles", split="tset"), ["'tset'", "'test'"]),
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
