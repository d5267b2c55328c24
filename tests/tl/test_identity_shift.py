from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import dko
from dko.metrics import log_profiles


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


@pytest.fixture(scope="module")
def _screen_of_six():
    adata = dko.datasets.perturb_seq(
        6, 60, n_cells=60, n_controls=150, n_modules=2, density=0.0, strength=(2.0, 3.0), knockdown=0.3, rng=0
    )
    dko.tl.fit(
        adata,
        model="sccvae",
        perturbation_key="perturbation",
        control="control",
        max_steps=200,
        n_members=1,
        n_latent=8,
        hidden=(16,),
        progress=False,
    )
    adata.obsm["X_map"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    return adata


@pytest.fixture
def types(_types):
    return _types.copy()


@pytest.fixture
def shifted(_shifted):
    return _shifted.copy()


@pytest.fixture
def screen_of_six(_screen_of_six):
    return _screen_of_six.copy()


def mean_change(adata):
    return dko.get.identity(adata).groupby(["knockout", "type"])["change"].mean().unstack()


def test_cells_leave_the_type_whose_gene_they_lose(shifted):
    change = mean_change(shifted)
    assert change.loc["gene_3", "CD4/CD8 T"] < 0 < change.loc["gene_3", "B"]
    assert change.loc["gene_13", "B"] < 0 < change.loc["gene_13", "CD4/CD8 T"]


def test_the_embedding_says_the_same(shifted):
    """Its first axis is the level of the genes of the one type, its second that of the other."""
    of_first, of_second = (np.nanmean(shifted.obsm[f"dko_shift_umap_gene_{i}"], axis=0) for i in (3, 13))
    assert of_first[0] < 0 < of_first[1]
    assert of_second[1] < 0 < of_second[0]


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


def test_table_is_the_mean_over_the_cells_of_a_group(shifted):
    table = dko.get.identity(shifted)
    assert list(dict.fromkeys(table["knockout"])) == ["gene_3", "gene_13", "A/B"]
    assert len(table) == 3 * 2 * 2
    for row in table.itertuples():
        frame = shifted.obsm[f"dko_identity_{row.knockout.replace('/', '%2F')}"]
        cells = frame[shifted.obs["cell_type"] == row.group].dropna()
        assert row.n_cells == len(cells)
        assert row.change == pytest.approx(cells[row.type.replace("/", "%2F")].mean(), rel=1e-4, abs=1e-7)
        assert row.length > 0


def test_chosen_cells_among_all(types, shifted):
    half = (np.arange(300) < 150).astype(bool)
    dko.tl.identity_shift(types, "gene_3", groups=half, groupby="cell_type")
    move = types.obsm["dko_shift_umap_gene_3"]
    assert np.isnan(move[~half]).all()
    np.testing.assert_allclose(move[half], shifted.obsm["dko_shift_umap_gene_3"][half], atol=1e-6)


def test_genes_together_and_any_block(types):
    with dko.settings.override(verbosity=0):
        dko.tl.identity_shift(types, [("gene_3", "gene_13")])
        whole = types.obsm["dko_shift_umap_gene_13+gene_3"]
        dko.tl.identity_shift(types, [("gene_13", "gene_3")], batch_size=70)
    np.testing.assert_allclose(types.obsm["dko_shift_umap_gene_13+gene_3"], whole, atol=1e-6)
    table = dko.get.identity(types)
    assert table[["knockout", "group"]].to_numpy().tolist() == [["gene_13+gene_3", ""]]
    assert "type" not in table


def test_an_earlier_call_is_replaced(shifted):
    shifted.obsm["X_two"] = shifted.obsm["X_umap"] * 2
    small = shifted.obsm["dko_shift_umap_gene_3"]
    dko.tl.identity_shift(shifted, "gene_3", basis="X_two")
    assert {name for name in shifted.obsm if name.startswith("dko_")} == {"dko_shift_two_gene_3"}
    np.testing.assert_allclose(shifted.obsm["dko_shift_two_gene_3"], 2 * small, rtol=1e-4, atol=1e-6)


def test_control_cells_move_towards_the_cells_of_the_perturbation(screen_of_six):
    labels = [name for name in screen_of_six.obs["perturbation"].unique() if name != "control"]
    dko.tl.identity_shift(screen_of_six, labels, basis="map", groupby="perturbation")
    change = mean_change(screen_of_six)
    assert (dko.get.identity(screen_of_six)["group"] == "control").all()
    for label in labels:
        assert change.loc[label, label] > 0 > change.loc[label, "control"]
    control = (screen_of_six.obs["perturbation"] == "control").to_numpy()
    assert (np.isfinite(screen_of_six.obsm[f"dko_shift_map_{labels[0]}"]).all(axis=1) == control).all()


def test_genes_without_signal_are_warned_of(types, caplog):
    types.uns["dko"]["weights"]["signal"][3] = 0.5
    dko.tl.identity_shift(types, "gene_3")
    assert "no evidence in the cells of the fit that other genes depend on 'gene_3'" in caplog.text


def test_refusals(types):
    tell = dko.tl.identity_shift
    with pytest.raises(KeyError, match="No embedding 'tsne'"):
        tell(types, "gene_3", basis="tsne")
    with pytest.raises(KeyError, match="No gene 'gene_x'"):
        tell(types, "gene_x")
    with pytest.raises(KeyError, match="No column 'celltype'"):
        tell(types, "gene_3", groupby="celltype")
    with pytest.raises(ValueError, match="dose=1.1 must be from 0"):
        tell(types, "gene_3", dose=1.1)
    untyped = types.obs["cell_type"].isna().to_numpy()
    with pytest.raises(ValueError, match="No chosen cell with a knocked-out gene has a value in obs.'cell_type'."):
        dko.tl.identity_shift(types, "gene_3", groupby="cell_type", groups=untyped)
    with pytest.raises(ValueError, match="n_neighbors=0 must be at least 1"):
        tell(types, "gene_3", n_neighbors=0)
    with pytest.raises(ValueError, match="n_pcs=0 must be at least 1"):
        tell(types, "gene_3", n_pcs=0)
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        tell(types, "gene_3", batch_size=0)
    none = types[:, "gene_3"].X.toarray().ravel() == 0
    with pytest.raises(ValueError, match="No chosen cell that has a model expresses 'gene_3'"):
        tell(types, ["gene_3", "gene_13"], groups=none)
    with pytest.raises(KeyError, match="No fitted model"):
        tell(types, "gene_3", key="other")
    assert "dko_identity" not in types.uns
