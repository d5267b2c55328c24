"""Perturbations and controls as users spell them, through the verb that sorts cells by them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

import dko

from ..conftest import QUICK, SMALL_SCCVAE

HOW: dict[str, Any] = {"perturbation_key": "guide", "control": "control"}
MORE = ["more", "still more"]


def cells(labels, **kwargs):
    obs = pd.DataFrame({"guide": pd.Series(labels, **kwargs).to_numpy()}, index=[f"c{i}" for i in range(len(labels))])
    names = ["A", "B", "C", "HLA+DR"]
    rng = np.random.default_rng(0)
    return AnnData(1 + rng.poisson(3, (len(labels), 4)).astype(np.float32), obs=obs, var=pd.DataFrame(index=names))


def folds(adata, control: Any = "control"):
    dko.pp.split_perturbations(adata, perturbation_key="guide", control=control, n_folds=2)
    return adata.obs["fold"].astype(object)


def n_perturbations(labels, capsys):
    """How many different ones there are, beside two of the test itself."""
    capsys.readouterr()
    folds(cells([*labels, *MORE, "control"]))
    return int(re.search(r"(\d+) perturbations", capsys.readouterr().err)[1]) - len(MORE)  # type: ignore[index]


@pytest.mark.parametrize(
    ("label", "as_well", "n"),
    [
        *(("B+A", "A+B", 1), ("A+control", "A", 1), ("control+A", "A", 1), ("C+control+A", "A+C", 1)),
        *(("control", "control+control", 0), ("not measured", "A", 2), ("A+B", "A", 2)),
        *(("HLA+DR", "DR+HLA", 2), ("HLA+DR", "HLA+DR", 1)),  # the first is a gene
    ],
)
def test_one_spelling(label, as_well, n, capsys):
    """T15: order is irrelevant, a control that is named with genes too; a gene may have a plus in its name."""
    assert n_perturbations([label, as_well], capsys) == n


@pytest.mark.parametrize("missing", ["nan", "NaN", "None", "<NA>", "", None, np.nan], ids=repr)
def test_missing_perturbations(missing):
    assert folds(cells(["A", missing, "control", "B"])).isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["control", "A", "NT_0001", "NT_0002"], "'NT_0001', 'NT_0002', 2 cells"),
        (["control", "A", "non-targeting", "A+ctrl"], "'non-targeting', 1 cells"),
        (["control", "CTRL+ctrl", "ctrl"], "'CTRL+ctrl', 'ctrl', 2 cells"),
        (["control", "NegCtrl0", "NTC", "sgNT", "NTg1"], "'NTC', 'NTg1', 'NegCtrl0', 'sgNT', 4 cells"),
        (["control", "control+control", "A+control", "NT5E", "CTRL1", None, "nt_A", "A_1"], None),
    ],
)
def test_other_labels_that_look_like_controls_are_told(labels, named, caplog):
    adata = cells([*labels, *MORE])
    adata.var_names = ["CTRL1", *"ABC"]
    folds(adata)
    assert len(caplog.messages) == bool(named)
    if named:
        assert f"look like controls ({named}); only cells of 'control' are taken as control" in caplog.messages[0]


@pytest.fixture(scope="module")
def _spelled(_screen):
    """The screen with its controls and perturbations spelled in all ways, and some missing."""
    adata = _screen.copy()
    labels = adata.obs["knockout"].astype(object)
    spellings = [("control", "control+control"), ("control", "control + control"), ("gene_2", "gene_2+control")]
    spellings += [("gene_2", "control+gene_2"), ("gene_18+gene_8", "gene_8+gene_18"), ("gene_6", ""), ("gene_6", "nan")]
    for number, (old, new) in enumerate(spellings):
        labels.iloc[np.flatnonzero(labels == old)[number : number + 10]] = new
    adata.obs["guide"] = labels
    return adata


def test_all_functions_have_one_parser(_spelled):
    """The control cells, and those of each perturbation, are the same for both models, for folds and for scores."""
    labels = _spelled.obs["guide"].astype(str)
    unperturbed = labels.str.contains("control") & ~labels.str.contains("gene")
    assert unperturbed.sum() == 200 and (_spelled.obs["guide"] == "control").sum() == 180
    dko.tl.fit(_spelled, **QUICK, **HOW)
    assert (_spelled.obs["dko_split"] != "unused").tolist() == unperturbed.tolist()
    dko.tl.fit(_spelled, key_added="sccvae", **SMALL_SCCVAE, n_members=1, **HOW)
    table = _spelled.uns["sccvae"]["perturbations"].set_index("perturbation")["n_cells"]
    expected = {"gene_15": 40, "gene_18+gene_8": 40, "gene_2": 40, "gene_22": 40, "gene_6": 20}
    assert table.to_dict() == expected
    dko.pp.split_perturbations(_spelled, n_folds=2, **HOW)
    assert (_spelled.obs["fold"] == "control").tolist() == unperturbed.tolist()
    dko.tl.evaluate(_spelled, n_bootstrap=2, n_splits=2, baselines=False, progress=False, **HOW)
    assert _spelled.uns["dko_evaluation"]["params"]["n_control"] == 200
    dko.tl.virtual_ko(_spelled, "gene_2", key="sccvae", profiles=False)
    assert (_spelled.obsm["sccvae_impact"]["gene_2"].notna()).tolist() == unperturbed.tolist()


@given(st.sampled_from(["int64", "float64", "category", "string", "object"]), st.integers(0, 9), st.booleans())
def test_numbers_name_the_control_whatever_the_type_of_the_column(dtype, control, as_text):
    values = pd.Series(np.arange(10) % 10).astype(dtype)
    adata = cells([str(v) for v in range(10)])
    adata.obs["guide"] = values.astype(str).to_numpy() if dtype in ("string", "object") else values.to_numpy()
    spellings: list[Any] = [f"{control}.0"] if as_text else [control, float(control), np.int8(control), str(control)]
    for given_as in spellings:
        assert np.flatnonzero(folds(adata, given_as) == "control").tolist() == [control]


@pytest.mark.parametrize(("labels", "warned"), [(["ctrl", "gene_3"], True), (["ctrl", "disease"], False)])
def test_a_screen_that_is_fitted_as_if_it_were_unperturbed_is_noticed(cells, quick, caplog, labels, warned):
    cells.obs["guide"] = pd.Categorical(labels * 40)
    dko.tl.fit(cells, **quick)
    found = [message for message in caplog.messages if "perturbation_key='guide', control='ctrl'" in message]
    assert len(found) == warned
