from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko
from dko._core.knockouts import open_perturber


@pytest.fixture(scope="module")
def _perturbed():
    adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=50, n_modules=2, n_pairs=1, rng=1)
    dko.tl.fit(
        adata, model="sccvae", perturbation_key="perturbation", control="control", n_latent=8,
        hidden=(16,), groups=4, batch_size=32, max_steps=40, n_members=1, progress=False,
    )  # fmt: skip
    adata.obs["half"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 3, "most", "few"))
    return adata


@pytest.fixture
def perturbed(_perturbed):
    return _perturbed.copy()


@pytest.fixture
def pair(_perturbed):
    return next(label for label in _perturbed.varm["effect"] if "+" in label)


def test_by_default_those_of_the_perturbations_that_were_trained_on(perturbed):
    effects = dko.get.effects(perturbed)
    assert sorted(effects.obs_names) == sorted(perturbed.varm["effect"].columns)
    assert list(effects.var_names) == perturbed.uns["dko"]["genes"] and effects.X.dtype == np.float32
    assert (effects.obs["n_cells"] == 50).all()
    trained = open_perturber(perturbed, "dko", "rna").trained
    expected = open_perturber(perturbed, "dko", "rna").mean_effects(list(trained.values()))
    np.testing.assert_array_equal(effects.X, expected)


def test_pairs_by_label_or_as_tuples(perturbed, pair):
    first, second = pair.split("+")
    expected = dko.get.effects(perturbed)[pair].X
    for asked in (pair, f"{second}+{first}", (first, second)):
        found = dko.get.effects(perturbed, [asked])
        assert found.obs_names.tolist() == [pair]
        np.testing.assert_allclose(found.X, expected, atol=1e-5)


def test_per_group_of_the_control_cells(perturbed):
    gene = perturbed.uns["dko"]["targets"][3]
    effects = dko.get.effects(perturbed, gene, groupby="half")
    control = perturbed.obs["perturbation"] == "control"
    assert effects.obs_names.tolist() == [f"{gene} (few)", f"{gene} (most)"]
    assert effects.obs["n_cells"].tolist() == [(control & (perturbed.obs["half"] == h)).sum() for h in ("few", "most")]
    few = open_perturber(perturbed, "dko", "rna", groups={"half": "few"}).mean_effects([[gene]])
    np.testing.assert_allclose(effects.X[:1], few, atol=1e-5)


def test_groups_without_a_control_cell(perturbed):
    perturbed.obs["guide"] = [None if label == "control" else "sg1" for label in perturbed.obs["perturbation"]]
    with pytest.raises(ValueError, match=r"No cell in which knockouts are predicted has a value in obs\['guide'\]"):
        dko.get.effects(perturbed, groupby="guide")


def test_centred_against_the_others(perturbed):
    effects = dko.get.effects(perturbed)
    centred = dko.get.effects(perturbed, centred=True)
    np.testing.assert_allclose(centred.X[0], effects.X[0] - effects.X[1:].mean(axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="name at least two genes"):
        dko.get.effects(perturbed, effects.obs_names[0], centred=True)


def test_genes_that_cannot_be_perturbed(perturbed):
    with pytest.raises(KeyError, match="No gene 'SOX2' in what this model can perturb"):
        dko.get.effects(perturbed, ["SOX2"])
