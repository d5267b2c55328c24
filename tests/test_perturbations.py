from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

import dko
from dko._core.names import control_of, members, perturbations, spelled

GENES = ["A", "B", "C", "HLA+DR"]


def cells(labels, **kwargs):
    obs = pd.DataFrame({"guide": pd.Series(labels, **kwargs).to_numpy()}, index=[f"c{i}" for i in range(len(labels))])
    return AnnData(np.ones((len(labels), 1)), obs=obs)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("A", "A"),
        ("B+A", "A+B"),
        ("A+B", "A+B"),
        ("A+control", "A"),
        ("control+A", "A"),
        ("C+control+A", "A+C"),
        ("control", "control"),
        ("control+control", "control"),
        ("HLA+DR", "HLA+DR"),
        ("not measured", "not measured"),
    ],
)
def test_one_spelling(label, expected):
    """T15: order is irrelevant, a control that is named with genes too; a gene may have a plus in its name."""
    assert spelled(label, "control", GENES) == expected


@given(st.sets(st.sampled_from("ABCDE"), min_size=1), st.randoms(use_true_random=False))
def test_every_order_has_the_same_spelling_and_members(genes, random):
    label = "+".join(random.sample([*sorted(genes), "control"], len(genes) + 1))
    found = spelled(label, "control", "ABCDE")
    assert found == "+".join(sorted(genes))
    assert members(found, "ABCDE") == sorted(genes)


def test_members_of_a_gene_with_a_plus_in_its_name():
    assert members("HLA+DR", GENES) == ["HLA+DR"]


def test_perturbations_of_cells():
    found = perturbations(cells(["B+A", "A+B", "control", None, "A+control"]), "guide", "control", GENES)
    assert found.isna().tolist() == [False, False, False, True, False]
    assert found.dropna().tolist() == ["A+B", "A+B", "control", "A"]
    assert list(found.index) == ["c0", "c1", "c2", "c3", "c4"]


@pytest.mark.parametrize(
    ("labels", "control"),
    [
        ([0, 1, 0], 0),
        ([False, True, False], False),
        (["0", "1", "0"], 0),
        ([0, 1, 0], "0"),
        ([0.0, 1.0, 0.0], 0),
        ([0.0, 1.0, 0.0], "0"),
        ([0, 1, 0], 0.0),
        ([0.5, 1.0, 0.5], 0.5),
    ],
)
def test_labels_and_control_of_other_types(labels, control):
    adata = cells(labels)
    name = control_of(adata, "guide", control)
    assert (perturbations(adata, "guide", name, ["1", "True"]) == name).tolist() == [True, False, True]


def test_a_category_nobody_has_is_no_perturbation():
    adata = cells(["A", "control"])
    adata.obs["guide"] = pd.Categorical(adata.obs["guide"], ["A", "control", "B"])
    assert set(perturbations(adata, "guide", "control", GENES)) == {"A", "control"}


@pytest.mark.parametrize(
    ("key", "control", "message"),
    [
        ("guides", "control", "No column 'guides' in adata.obs. Did you mean 'guide'?"),
        ("guide", "Control", "No value 'Control' in obs.'guide'.. Did you mean 'control'?"),
        ("guide", "NT", "No value 'NT' in obs.'guide'.. There are 'A', 'control'"),
    ],
)
def test_what_is_not_there_is_named(key, control, message):
    """T9."""
    with pytest.raises(KeyError, match=message):
        control_of(cells(["A", "control"]), key, control)


@pytest.mark.parametrize("control", ["None", "nan", ""])
def test_a_control_that_is_spelled_as_a_missing_value(control):
    adata = cells([control, "A", None, "NaN"])
    found = perturbations(adata, "guide", control_of(adata, "guide", control), ["A"])
    assert found[:2].tolist() == [control, "A"] and found[2:].isna().all()


@pytest.mark.parametrize("missing", ["nan", "NaN", "None", "<NA>", "", None, np.nan], ids=repr)
def test_missing_perturbations(missing):
    assert perturbations(cells(["A", missing, "control"]), "guide", "control", GENES).isna().tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["control", "A", "NT_0001", "NT_0002"], "'NT_0001', 'NT_0002', 2 cells"),
        (["control", "A", "non-targeting", "A+ctrl"], "'non-targeting', 1 cells"),
        (["control", "CTRL+ctrl", "ctrl"], "'CTRL+ctrl', 'ctrl', 2 cells"),
        (
            ["control", "NegCtrl0_NegCtrl1", "NTC", "sgNT", "NTg1"],
            "'NTC', 'NTg1', 'NegCtrl0_NegCtrl1', 'sgNT', 4 cells",
        ),
        (["control", "control+control", "A+control", "NT5E", "CTRL1", None, "nt_A", "A_1"], None),
    ],
)
def test_other_labels_that_look_like_controls_are_told(labels, named, caplog):
    adata = cells(labels)
    adata.var_names = ["CTRL1"]
    assert control_of(adata, "guide", "control") == "control"
    assert len(caplog.messages) == bool(named)
    if named:
        assert f"look like controls ({named}); only cells of 'control' are taken as control" in caplog.messages[0]


@pytest.fixture(scope="module")
def _spelled(_screen):
    """The screen with its controls and perturbations spelled in all ways, and some missing."""
    adata = _screen.copy()
    labels = adata.obs["knockout"].astype(object)
    for number, (old, new) in enumerate(
        [
            ("control", "control+control"),
            ("control", "control + control"),
            ("gene_2", "gene_2+control"),
            ("gene_2", "control+gene_2"),
            ("gene_18+gene_8", "gene_8+gene_18"),
            ("gene_6", None),
            ("gene_6", "nan"),
        ]
    ):
        labels.iloc[np.flatnonzero(labels == old)[number : number + 10]] = new
    adata.obs["guide"] = labels
    return adata


HOW: dict[str, Any] = {"perturbation_key": "guide", "control": "control"}


def test_all_functions_have_one_parser(_spelled):
    """The control cells, and those of each perturbation, are the same for both models, for folds and for scores."""
    labels = _spelled.obs["guide"].astype(str)
    unperturbed = labels.str.contains("control") & ~labels.str.contains("gene")
    assert unperturbed.sum() == 200 and (_spelled.obs["guide"] == "control").sum() == 180
    dko.tl.fit(_spelled, max_steps=2, effects="direct", progress=False, **HOW)
    assert (_spelled.obs["dko_split"] != "unused").tolist() == unperturbed.tolist()
    more: dict[str, Any] = {"normalize": True, "n_members": 1, "n_latent": 4, "hidden": [8], "graph": "none"}
    small: dict[str, Any] = {"max_steps": 2, "min_cells": 5, "progress": False}
    dko.tl.fit(_spelled, model="sccvae", key_added="sccvae", **small, **more, **HOW)
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
        name = control_of(adata, "guide", given_as)
        assert np.flatnonzero(perturbations(adata, "guide", name, []) == name).tolist() == [control]
