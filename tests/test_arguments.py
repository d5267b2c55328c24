"""Junk for every parameter of every public function: one sentence of this package, before any work, or a result."""

from __future__ import annotations

import inspect
import itertools
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko
from dko.models import model_class

VERBS = {
    f"{part}.{name}": getattr(getattr(dko, part), name)
    for part in ("tl", "get", "pl", "pp", "io", "metrics", "datasets")
    for name in getattr(dko, part).__all__
}
JUNK: dict[str, Any] = {
    "None": None,
    "nan": np.nan,
    "inf": np.inf,
    "-1": -1,
    "0": 0,
    "half": 0.5,
    "huge": 10**18,
    "word": "x",
    "no word": "",
    "list": [],
    "object": object(),
    "dict": {},
    "bytes": b"x",
    "array": np.zeros(3),
    "lines": "a\nb",
}
# What may be given for a parameter of an annotation.
FITS = {
    "int": {"-1", "0", "huge"},
    "float": {"-1", "0", "half", "huge"},
    "bool": set(),
    "str": {"word", "no word", "lines"},
    "Path": set(),
    "None": {"None"},
    "RNG": {"None", "0", "huge"},
}


def parameters_of(name):
    for parameter in inspect.signature(VERBS[name]).parameters.values():
        if parameter.kind != parameter.VAR_KEYWORD:
            yield parameter.name, set(str(parameter.annotation).split(" | "))


def said(error):
    """Whether an exception is a sentence of this package."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    message = str(error.args[0]) if error.args else ""
    ours = Path(dko.__file__).parent in Path(last).parents
    return ours and message and "\n" not in message and message.endswith((".", "?")) and len(message) < 1_000


@pytest.mark.parametrize("name", VERBS)
def test_values_of_another_kind_are_refused(name, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [*fitted.obs, *fitted.uns, *fitted.obsm, *fitted.layers, *fitted.var]
    needed = {
        one.name: "x" if "str" in str(one.annotation) else 1
        for one in inspect.signature(VERBS[name]).parameters.values()
        if one.default is one.empty and one.kind != one.VAR_KEYWORD
    }
    if "adata" in needed:
        needed["adata"] = fitted
    for parameter, kinds in parameters_of(name):
        if not kinds <= set(FITS):
            continue
        for junk in sorted(set(JUNK) - set().union(*(FITS[kind] for kind in kinds))):
            with pytest.raises((TypeError, ValueError), match=f"^{parameter}=.* must be ") as raised:
                VERBS[name](**{**needed, parameter: JUNK[junk]})
            assert said(raised.value)
    assert places == [*fitted.obs, *fitted.uns, *fitted.obsm, *fitted.layers, *fitted.var] and not list(
        tmp_path.iterdir()
    )


def keywords_of_sccvae():
    return model_class("sccvae").presets[None][0].options()


@pytest.mark.parametrize("name", keywords_of_sccvae())
def test_junk_for_the_keywords_of_the_second_model(name, screen, unchanged):
    kinds = set(keywords_of_sccvae()[name].split(" | "))
    fits = set().union(*(FITS.get(kind, set()) for kind in kinds))
    fits |= {"list", "dict", "array"} if name in ("holdout", "code_hidden") else set()
    with unchanged(screen):
        for junk in sorted(set(JUNK) - fits):
            keywords = {"normalize": True, name: JUNK[junk]}
            with pytest.raises((TypeError, ValueError, KeyError)) as raised:
                dko.tl.fit(screen, model="sccvae", perturbation_key="knockout", control="control", **keywords)
            assert said(raised.value), junk


NET = pd.DataFrame({"source": ["a"] * 6, "target": [f"gene_{i}" for i in range(4, 10)], "weight": 1.0})
# What is needed for a function to work at all; `adata` is given to those that have it.
NEEDED: dict[str, dict[str, Any]] = {
    "tl.affected_genes": {"gene": "gene_2"},
    "tl.dose_response": {"genes": "gene_2"},
    "tl.enrichment": {"net": NET},
    "tl.evaluate": {"perturbation_key": "knockout", "control": "control"},
    "tl.fit": {"max_steps": 2, "effects": "direct"},
    "tl.identity_shift": {"genes": "gene_2"},
    "tl.interactions": {"genes": ["gene_2", "gene_3"]},
    "tl.virtual_ko": {"genes": "gene_2"},
    "pp.split_perturbations": {"perturbation_key": "knockout", "control": "control", "n_folds": 2},
    "pl.impact": {"genes": "gene_2"},
    "pl.profile": {"genes": "gene_2"},
    "io.load": {"path": "model.npz"},
    "io.read_reference": {"path": "reference"},
    "io.save": {"path": "saved.npz"},
    "io.write_reference": {"dir": "written"},
    "io.write_report": {"path": "report.html"},
    "datasets.grn": {"n_cells": 20, "n_genes": 10},
    "datasets.grn_types": {"n_cells": 20, "n_genes": 10},
}
PLACES = ("obs", "var", "uns", "obsm", "varm", "layers")
ON_CELLS = [name for name in VERBS if "adata" in inspect.signature(VERBS[name]).parameters and name[:8] != "datasets"]


@pytest.fixture(scope="module")
def _whole(_cells, quick):
    """Cells in which every function has something to read."""
    adata = _cells.copy()
    adata.obs["knockout"] = ["control", "control", "gene_2", "gene_3"] * 20
    dko.tl.fit(adata, groupby="cell_type", **quick)
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, ["gene_2", "gene_3"])
    dko.tl.double_ko(adata, n_samples=50)
    dko.tl.rank_genes(adata, n_bootstraps=10)
    dko.tl.affected_genes(adata, "gene_2")
    if find_spec("decoupler"):
        dko.tl.enrichment(adata, NET)
    dko.tl.evaluate(adata, perturbation_key="knockout", control="control", n_bootstrap=10)
    dko.tl.dose_response(adata, "gene_2", doses=[0.5, 1.0])
    dko.tl.cluster_impact(adata)
    dko.tl.interactions(adata, ["gene_2", "gene_3"], n_permutations=20)
    dko.tl.identity_shift(adata, "gene_2")
    dko.tl.perturbation_modules(adata, ["gene_2", "gene_3", "gene_4", "gene_5"], n_null=20)
    return adata


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_CELLS)
def test_junk_gives_a_sentence_or_a_result(name, _whole, tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    if name.endswith("enrichment"):
        pytest.importorskip("decoupler")
    monkeypatch.chdir(tmp_path)
    dko.io.save(_whole, "model.npz")
    failed = []
    for (parameter, kinds), junk in itertools.product(parameters_of(name), JUNK):
        if parameter == "adata" and junk != "None":
            continue
        adata, fits = _whole.copy(), kinds <= set(FITS) and junk in set().union(*(FITS[kind] for kind in kinds))
        before = adata.copy()
        try:
            VERBS[name](**{"adata": adata, **NEEDED.get(name, {}), parameter: JUNK[junk]})
            if kinds <= set(FITS) and not fits:
                failed.append(f"{parameter}={junk} was taken")
        except (TypeError, ValueError, KeyError, FileNotFoundError, IsADirectoryError) as error:
            if not said(error):
                failed.append(f"{parameter}={junk}: {type(error).__name__}: {error}"[:300])
            elif any(list(getattr(adata, place)) != list(getattr(before, place)) for place in PLACES):
                failed.append(f"{parameter}={junk} was refused, and something is there")
        except BaseException as error:  # noqa: BLE001
            failed.append(f"{parameter}={junk}: {type(error).__name__}: {error}"[:300])
        plt.close("all")
    assert not failed, "\n".join(failed)
