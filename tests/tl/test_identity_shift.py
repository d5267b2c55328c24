from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import dko
from dko.metrics import log_profiles
from dko.tl._identity_shift import Surroundings, similarity_change, space_of

from ..conftest import copy_of


@pytest.fixture(scope="module")
def _types():
    """300 cells x 40 genes of two types: ten genes of each go up and down together, also within the type."""
    rng = np.random.default_rng(0)
    is_a = np.arange(300) % 2 == 0
    level = rng.gamma(4, 0.25, size=(300, 2)) * np.where(is_a[:, None], [4.0, 1.0], [1.0, 4.0])
    rate = np.concatenate([np.repeat(level, 10, axis=1), np.full((300, 20), 2.0)], axis=1)
    adata = AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.var_names = ["A/B", *(f"gene_{i}" for i in range(1, 40))]
    adata.obs["cell_type"] = pd.Categorical(np.where(is_a, "CD4/CD8 T", "B"))
    adata.obs.loc[adata.obs_names[-3:], "cell_type"] = np.nan
    adata.obsm["X_umap"] = np.log(level) + rng.normal(scale=0.1, size=level.shape)
    dko.tl.fit(adata, effects="total", max_epochs=5, progress=False)
    return adata


@pytest.fixture(scope="module")
def _shifted(_types):
    return dko.tl.identity_shift(_types, ["gene_3", "gene_13", "A/B"], groupby="cell_type", copy=True)


types, shifted = map(copy_of, ("types", "shifted"))


def mean_change(adata):
    return dko.get.identity(adata).groupby(["knockout", "type"])["change"].mean().unstack()


def test_cells_leave_the_type_whose_gene_they_lose(shifted):
    change = mean_change(shifted)
    assert change.loc["gene_3", "CD4/CD8 T"] < 0 < change.loc["gene_3", "B"]
    assert change.loc["gene_13", "B"] < 0 < change.loc["gene_13", "CD4/CD8 T"]


@pytest.mark.parametrize("dose", [0.4, 1.0])
def test_shift_is_the_change_of_the_knockout_without_the_gene(types, dose):
    dko.tl.identity_shift(types, "gene_3", dose=dose)
    dko.tl.virtual_ko(types, "gene_3", dose=dose)
    after = log_profiles(types.layers["dko_ko_gene_3"], without=[3])
    before = log_profiles(dko.get.profiles(types).layers["before"], without=[3])
    change = (after - before).toarray()[types.X[:, [3]].toarray().ravel() > 0]
    observed = log_profiles(types.X).toarray()
    right = np.linalg.svd(observed - observed.mean(axis=0))[2][:30]
    length = dko.get.identity(types)["length"].item()
    assert length == pytest.approx(np.linalg.norm(change @ right.T, axis=1).mean(), rel=0.01)


def test_cells_without_the_gene_stay_without_a_shift(shifted):
    for gene in ("gene_3", "A/B"):
        expresses = shifted[:, gene].X.toarray().ravel() > 0
        assert 0 < expresses.sum() < 300
        name = gene.replace("/", "%2F")
        move, frame = shifted.obsm[f"dko_shift_umap_{name}"], shifted.obsm[f"dko_identity_{name}"]
        assert move.shape == (300, 2) and move.dtype == np.float32
        assert (np.isfinite(move).all(axis=1) == expresses).all()
        assert (frame.notna().all(axis=1) == expresses).all() and (frame.dtypes == np.float32).all()
        assert list(frame.columns) == ["B", "CD4%2FCD8 T"]


def test_genes_together_and_any_block(types):
    with dko.settings.override(verbosity=0):
        dko.tl.identity_shift(types, [("gene_3", "gene_13")])
        whole = types.obsm["dko_shift_umap_gene_13+gene_3"]
        dko.tl.identity_shift(types, [("gene_13", "gene_3")], batch_size=70)
    np.testing.assert_allclose(types.obsm["dko_shift_umap_gene_13+gene_3"], whole, atol=1e-6)
    table = dko.get.identity(types)
    assert table[["knockout", "group"]].to_numpy().tolist() == [["gene_13+gene_3", ""]]
    assert "type" not in table


def test_control_cells_move_towards_the_cells_of_the_perturbation(perturbed, singles):
    perturbed.obsm["X_map"] = np.random.default_rng(0).normal(size=(perturbed.n_obs, 2))
    labels = singles[:5]
    dko.tl.identity_shift(perturbed, labels, basis="map", groupby="perturbation")
    change = mean_change(perturbed)
    assert (dko.get.identity(perturbed)["group"] == "control").all()
    for label in labels:
        assert change.loc[label, label] > 0 > change.loc[label, "control"]
    control = (perturbed.obs["perturbation"] == "control").to_numpy()
    assert (np.isfinite(perturbed.obsm[f"dko_shift_map_{labels[0]}"]).all(axis=1) == control).all()


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return sparse.random(60, 15, density=0.5, random_state=rng, format="csr", dtype=np.float32)


def test_components_are_those_of_the_dense_matrix(values):
    components, positions = space_of(values, 4, 0)
    centred = values.toarray().astype(float) - values.toarray().mean(axis=0)
    _, singular, right = np.linalg.svd(centred)
    assert components.shape == (15, 4) and positions.shape == (60, 4)
    np.testing.assert_allclose(np.abs(np.sum(components * right[:4].T, axis=0)), 1, rtol=1e-4)
    np.testing.assert_allclose(positions, centred @ components, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=0), singular[:4], rtol=1e-4)


def test_change_of_similarity_is_that_of_the_cosine_with_the_centre():
    before, shifts, centres = (np.random.default_rng(0).normal(size=(n, 4)) for n in (2, 2, 3))
    found = similarity_change(before, shifts, centres)
    for row, column in np.ndindex(2, 3):
        x = [before[row], before[row] + shifts[row], centres[column]]
        cosine = [one @ x[2] / np.linalg.norm(one) / np.linalg.norm(x[2]) for one in x[:2]]
        assert found[row, column] == pytest.approx(cosine[1] - cosine[0], abs=1e-9)
    assert (similarity_change(before, np.zeros((2, 4)), centres) == 0).all()


@pytest.fixture
def plane():
    """Places on a plane, and an embedding that turns and stretches it."""
    positions = np.random.default_rng(0).uniform(-10, 10, size=(3_000, 2)).astype(np.float32)
    return positions, positions.astype(float) @ np.array([[0.0, 2.0], [-2.0, 0.0]])


def naive(positions, embedding, row, shift, n):
    """The same, cell by cell as it is defined."""
    before = positions[row].astype(float)
    after = before + shift
    others = np.delete(np.arange(len(positions)), row)
    nearest = [others[np.argsort(np.linalg.norm(positions[others] - x, axis=1))[:n]] for x in (before, after)]
    around = np.unique(np.concatenate(nearest))
    own = np.linalg.norm(positions[nearest[0]] - before, axis=1)
    stands = []
    for point in (before, after):
        weights = np.exp(-np.linalg.norm(positions[around] - point, axis=1) / (own.mean() - own.min()))
        stands.append(weights @ embedding[around] / weights.sum())
    return stands[1] - stands[0]


def test_equals_the_definition(plane):
    positions, embedding = plane
    around = Surroundings(positions, embedding, 12, np.random.default_rng(0))
    rows = np.array([0, 7, 2_999])
    shifts = np.random.default_rng(1).normal(size=(3, 2))
    found = around.moves(rows, shifts)
    assert found.dtype == np.float32
    for row, shift, move in zip(rows, shifts, found, strict=True):
        np.testing.assert_allclose(move, naive(positions, embedding, row, shift, 12), atol=1e-4)


def test_any_memory_budget(plane):
    positions, embedding = plane
    around = Surroundings(positions, embedding, 15, np.random.default_rng(0))
    rows, shifts = np.arange(100), np.random.default_rng(1).normal(size=(100, 2))
    whole = around.moves(rows, shifts)
    with dko.settings.override(memory_budget=16 * 15 * 2 * 7):
        np.testing.assert_allclose(around.moves(rows, shifts), whole, atol=1e-6)


def test_cells_without_a_place_are_nobodys_neighbours(plane):
    positions, embedding = plane
    embedding[::2] = np.nan
    rows, shifts = np.arange(100), np.random.default_rng(1).normal(size=(100, 2))
    found = Surroundings(positions, embedding, 10, np.random.default_rng(0)).moves(rows, shifts)
    assert np.isfinite(found).all()
    odd = Surroundings(positions[1::2], embedding[1::2], 10, np.random.default_rng(0))
    np.testing.assert_allclose(found[1::2], odd.moves(np.arange(50), shifts[1::2]), atol=1e-5)
    with pytest.raises(ValueError, match="Fewer than two cells have a place"):
        Surroundings(positions, np.full_like(embedding, np.nan), 10, np.random.default_rng(0))


def test_neighbours_that_are_all_equally_far():
    corners = np.eye(4, dtype=np.float32)
    moves = Surroundings(corners, corners[:, :2].astype(float), 3, np.random.default_rng(0)).moves(
        np.arange(4), corners[[1, 0, 3, 2]]
    )
    assert (moves == 0).all(), "three others weigh the same wherever the cell is"
