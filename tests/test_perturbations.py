from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from dko._perturbations import members, perturbations, spelled

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
    ("labels", "control"), [([0, 1, 0], 0), ([False, True, False], False), (["0", "1", "0"], 0), ([0, 1, 0], "0")]
)
def test_labels_and_control_of_other_types(labels, control):
    found = perturbations(cells(labels), "guide", control, ["1", "True"])
    assert (found == str(control)).tolist() == [True, False, True]


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
        perturbations(cells(["A", "control"]), key, control, GENES)
