from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import dko
from dko.tl._perturbation_modules import null_changes, p_values, without_targets

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


N_PERTURBATIONS, N_CONTROL = 400, 300


def counts_like(rng, n):
    """Skewed values with a common factor, as expression has; 6 dimensions."""
    return rng.gamma(1.0, 1.0, (n, 6)) * rng.gamma(4.0, 0.25, (n, 1))


@pytest.mark.parametrize("n_cells", [10, 60, 280])
def test_p_values_of_nothing_are_uniform(n_cells):
    """T13: also with more perturbed cells than control cells could be drawn without using them all."""
    rng = np.random.default_rng(0)
    found = []
    # Each time other control cells: p values against the same ones go together.
    for repeat in range(20):
        control = counts_like(rng, N_CONTROL)
        means = np.stack([counts_like(rng, n_cells).mean(axis=0) for _ in range(N_PERTURBATIONS // 20)])
        changes = means - control.mean(axis=0)
        null_of = partial(null_changes, control, n_null=199, seed=repeat)
        found.append(p_values(changes, np.full(len(changes), n_cells), np.zeros(len(changes), dtype=bool), null_of))
    p = np.concatenate(found)
    for level in (0.05, 0.2, 0.5):
        # Three standard errors of a share, and a half for control cells that are shared.
        assert abs((p <= level).mean() - level) < 4.5 * np.sqrt(level * (1 - level) / N_PERTURBATIONS)


def test_noiseless_changes_are_held_against_noise_in_their_direction():
    rng = np.random.default_rng(2)
    control = rng.normal(size=(1_000, 30))
    null_of = partial(null_changes, control, n_null=499, seed=0)
    # Noise of 100 cells is 0.1 in each of 30 directions, and 0.55 in all.
    changes = np.stack([0.3 * np.eye(30)[0]] * 2)
    p = p_values(changes, np.full(2, 100), np.array([False, True]), null_of)
    assert p[0] > 0.9 and p[1] < 0.02
    assert p_values(np.zeros((1, 30)), np.array([100]), np.array([True]), null_of)[0] == 1.0


@pytest.mark.parametrize("n_cells", [5, 40, 90, 400])
def test_spread_of_the_null_is_that_of_a_difference_of_means(n_cells):
    control = np.random.default_rng(4).normal(size=(100, 4))
    changes = null_changes(control, n_cells, 4_000, 0)
    expected = control.var(axis=0, ddof=1) * (1 / n_cells + 1 / 100)
    assert_allclose(changes.var(axis=0), expected, rtol=0.1)
    assert_allclose(changes.mean(axis=0), 0.0, atol=4 * np.sqrt(expected.max() / 4_000))


def test_targets_do_not_count():
    effects = np.arange(1.0, 9.0).reshape(2, 4)
    found = without_targets(effects, [["a", "c"], ["x"]], ["a", "b", "c", "d"])
    assert_allclose(found, [[0, 2, 0, 4], [5, 6, 7, 8]])
    assert without_targets(np.empty((0, 4)), [], ["a", "b", "c", "d"]).shape == (0, 4)


PROGRAMMES = 3


@pytest.fixture(scope="module")
def _programmes():
    """300 cells x 30 genes: 24 that go up and down with one of three programmes, six that do so with nothing."""
    rng = np.random.default_rng(0)
    programme = np.repeat(np.arange(PROGRAMMES + 1), [8, 8, 8, 6])
    activity = np.exp(0.8 * rng.normal(size=(300, PROGRAMMES + 1)))
    activity[:, PROGRAMMES] = 1
    counts = rng.poisson(4 * activity[:, programme]).astype(np.float32)
    names = ["A/B", *(f"gene_{i}" for i in range(1, 30))]
    adata = AnnData(sparse.csr_matrix(counts), var=pd.DataFrame({"programme": programme.astype(str)}, index=names))
    adata.obs["half"] = np.where(np.arange(300) % 2, "a/b", "c")
    dko.tl.fit(adata, effects="total", max_epochs=5, progress=False)
    return adata


@pytest.fixture(scope="module")
def _grouped_genes(_programmes):
    return dko.tl.perturbation_modules(_programmes, groups=_programmes.var["programme"], copy=True)


programmes, grouped_genes = map(copy_of, ("programmes", "grouped_genes"))


def test_columns_are_what_they_say(grouped_genes):
    table = by_name(grouped_genes)
    effects = dko.get.effects(grouped_genes, list(table.index), centred=True)
    changes = effects.to_df()
    for gene in changes.index:
        changes.loc[gene, gene] = 0
    lengths = np.linalg.norm(changes, axis=1)
    np.testing.assert_allclose(table["strength"], lengths, rtol=1e-4)
    np.testing.assert_allclose(table["p_effect"], grouped_genes.var.loc[table.index, "dko_signal"], rtol=1e-6)
    n_cells = pd.Series((grouped_genes.X > 0).sum(axis=0).A1, index=grouped_genes.var_names)
    assert (table["n_cells"] == n_cells[table.index]).all()
    assert table["n_cells"].is_monotonic_decreasing


def test_genes_without_signal_are_set_apart_when_they_are_named(programmes):
    silent = list(programmes.var_names[24:])
    programmes.uns["dko"]["weights"]["signal"][24:] = 0.5
    dko.tl.perturbation_modules(programmes)
    assert not set(by_name(programmes).index) & set(silent)
    dko.tl.perturbation_modules(programmes, list(programmes.var_names))
    table = by_name(programmes)
    assert list(table.index) == list(programmes.var_names)
    assert set(silent) <= set(table.index[table["module"] == "no effect"])
    assert (table.loc[silent, "p_effect"] == 0.5).all() and table.loc[silent, "silhouette"].isna().all()
    assert set(dko.get.modules(programmes, what="markers")["module"]) == set(table["module"]) - {"no effect"}
