from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import dko

from ..conftest import copy_of

SIMULATED: dict[str, Any] = {"n_cells": 50, "n_controls": 200, "n_modules": 2, "n_without_effect": 3, "rng": 3}
FIT: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "max_steps": 150, "n_members": 1}


@pytest.fixture(scope="session")
def _modular():
    """20 perturbations of two modules, three of them without effect; one more of each module is held out."""
    # A target that is a large share of all counts does something to the others when it goes: they are normalised.
    adata = dko.datasets.perturb_seq(22, 100, density=0.0, strength=(1.0, 2.0), knockdown=0.3, **SIMULATED)
    strength = adata.uns["perturb_seq"]["strength"]
    strong = strength[strength["strength"] > 0]
    unseen = [strong.index[strong["module"] == module][0] for module in ("module_0", "module_1")]
    dko.tl.fit(adata, model="sccvae", holdout=unseen, n_latent=16, hidden=(32,), progress=False, **FIT)
    dko.tl.perturbation_modules(adata, groups=adata.var["module"].astype(str))
    return adata


modular = copy_of("modular")


@pytest.fixture
def inert(_modular):
    strength = _modular.uns["perturb_seq"]["strength"]
    return set(strength.index[strength["strength"] == 0])


@pytest.fixture
def unseen(_modular):
    table = _modular.uns["dko"]["perturbations"]
    return list(table["perturbation"][table["role"] == "held out"])


def by_name(adata, **kwargs):
    return dko.get.modules(adata, **kwargs).set_index("perturbation")


def test_modules_are_found_and_what_has_no_effect_is_set_apart(modular, inert):
    """T13."""
    table = by_name(modular)
    assert len(table) == 20 and not table["is_unseen"].any()
    assert set(table.index[table["module"] == "no effect"]) == inert
    affects = table[table["module"] != "no effect"]
    assert adjusted_rand_score(affects["group"], affects["module"]) > 0.8
    assert set(affects["module"]) == {str(number + 1) for number in range(affects["module"].nunique())}
    assert affects["module"].value_counts()["1"] == affects["module"].value_counts().max()
    assert (affects["silhouette"] > 0).all() and table.loc[list(inert), "silhouette"].isna().all()
    assert (affects["p_effect"] <= 0.05).all() and (table.loc[list(inert), "p_effect"] > 0.05).all()
    assert np.isfinite(table[["strength", "umap_1", "umap_2"]]).to_numpy().all()


def test_order_of_perturbations_says_nothing(modular):
    """T13."""
    before = by_name(modular)
    order = np.random.default_rng(1).permutation(before.index)
    dko.tl.perturbation_modules(modular, list(order), groups=modular.var["module"].astype(str))
    after = by_name(modular)
    assert after.index.tolist() == list(order)
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    vectors = pd.DataFrame(modular.uns["dko_modules"]["vectors"], index=after.index)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), after["strength"], rtol=1e-5)


def test_unseen_ones_are_placed_without_a_look_at_their_cells(modular, unseen):
    trained = list(by_name(modular).index)
    dko.tl.perturbation_modules(modular, [*trained, *unseen])
    table = by_name(modular)
    assert list(table.index[table["is_unseen"]]) == unseen
    assert (table.loc[unseen, "n_cells"] == 0).all() and (table.loc[trained, "n_cells"] > 0).all()
    kept = modular[~modular.obs["perturbation"].isin(unseen)].copy()
    dko.tl.perturbation_modules(kept, [*trained, *unseen])
    pd.testing.assert_frame_equal(by_name(kept), table)
    assert np.isfinite(table.loc[unseen, ["strength", "umap_1", "umap_2"]]).to_numpy().all()


def test_genes_together_add_in_the_latent_space(modular):
    names = list(by_name(modular).index[:4])
    dko.tl.perturbation_modules(modular, [*names, (names[1], names[0]), f"{names[2]}+{names[3]}"])
    table = dko.get.modules(modular)
    assert table["perturbation"].tolist()[4:] == ["+".join(sorted(names[:2])), "+".join(sorted(names[2:]))]
    vectors = modular.uns["dko_modules"]["vectors"]
    np.testing.assert_allclose(vectors[4], vectors[0] + vectors[1], atol=1e-5)
    np.testing.assert_allclose(vectors[5], vectors[2] + vectors[3], atol=1e-5)
