from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

HOW: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control"}


@pytest.fixture(scope="module")
def _cells():
    """Of which `cells` is a copy: six targets with an effect and two pairs, and six without any; log-normalised."""
    return dko.datasets.perturb_seq(
        12, 40, n_cells=40, n_controls=100, n_pairs=2, n_without_effect=6, strength=(2.0, 3.0), depth=2_000, rng=0
    )


def folds(adata, key="fold"):
    """Return the fold of each perturbation, each of which is in one."""
    found = adata.obs.groupby("perturbation", observed=True)[key].agg(lambda of: sorted(set(of)))
    assert (found.drop("control").map(len) == 1).all()
    return found.drop("control").map(lambda of: of[0])


def test_effects_are_spread_over_the_folds(cells):
    """Of eight perturbations with an effect, each of four folds has two."""
    weak = cells.varm["effect"].abs().sum()
    strong = weak.index[np.argsort(-weak)][:8]
    for rng in range(5):
        dko.pp.split_perturbations(cells, n_folds=4, rng=rng, **HOW)
        assert folds(cells)[strong].value_counts().tolist() == [2, 2, 2, 2]


def test_order_of_cells_and_spelling_do_not_matter(cells):
    dko.pp.split_perturbations(cells, test_controls=0.2, **HOW)
    order = np.random.default_rng(1).permutation(cells.n_obs)
    other = cells[order].copy()
    labels = other.obs["perturbation"].astype(str).to_numpy(copy=True)
    pair = next(label for label in set(labels) if "+" in label)
    labels[np.flatnonzero(labels == pair)[::2]] = "+".join(reversed(pair.split("+")))
    other.obs["perturbation"] = labels
    dko.pp.split_perturbations(other, test_controls=0.2, **HOW)
    pd.testing.assert_series_equal(other.obs["fold"][cells.obs_names], cells.obs["fold"])


def test_some_perturbations_are_in_no_fold(cells):
    """As many with an effect as without: each two of the 14, by size, give one."""
    dko.pp.split_perturbations(cells, n_folds=2, validation_perturbations=0.5, **HOW)
    assert cells.obs["fold"].cat.categories.tolist() == ["0", "1", "control", "validation"]
    found = folds(cells)
    assert sorted(found.value_counts()) == [3, 4, 7] and (found == "validation").sum() == 7
    dko.pp.split_perturbations(cells, validation_perturbations=0.01, key_added="one", **HOW)
    assert (folds(cells, "one") == "validation").sum() == 1
    weak = cells.varm["effect"].abs().sum()
    assert (found[weak.index[np.argsort(-weak)][:8]] == "validation").sum() == 4


def test_cells_without_a_label_have_no_fold_and_one_cell_is_enough(cells):
    labels = cells.obs["perturbation"].astype(object)
    labels.iloc[:5] = None
    labels.iloc[5] = "gene_39"
    cells.obs["perturbation"] = labels
    dko.pp.split_perturbations(cells, **HOW)
    assert cells.obs["fold"].iloc[:5].isna().all() and cells.obs["fold"].iloc[5] in list("01234")
