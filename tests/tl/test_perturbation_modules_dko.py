from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import dko

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


@pytest.fixture
def programmes(_programmes):
    return _programmes.copy()


@pytest.fixture
def grouped_genes(_grouped_genes):
    return _grouped_genes.copy()


def by_name(adata):
    return dko.get.modules(adata).set_index("perturbation")


def test_genes_of_one_programme_are_one_module(grouped_genes):
    table = by_name(grouped_genes)
    acting = [name for name in grouped_genes.var_names if grouped_genes.var.loc[name, "programme"] != "3"]
    assert set(acting) <= set(table.index)
    table = table.loc[acting]
    assert adjusted_rand_score(table["group"], table["module"]) == 1
    assert (table["silhouette"] > 0.5).all() and not table["is_unseen"].any()
    row = dko.get.modules(grouped_genes, what="agreement")
    assert row[["basis", "over"]].to_numpy().tolist() == [["effect", "all"]]


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


def test_markers_are_of_the_same_programme(grouped_genes):
    markers, table = dko.get.modules(grouped_genes, what="markers"), by_name(grouped_genes)
    for module in set(table["module"]) & {"1", "2", "3"}:
        (own,) = table.loc[table["module"] == module, "group"].mode()
        top = markers[markers["module"] == module].head(4)
        assert (grouped_genes.var.loc[top["gene"], "programme"] == own).all()
        assert (top["change"] < 0).all()


def test_order_and_seed_say_nothing(grouped_genes, _grouped_genes, same):
    before = by_name(grouped_genes)
    order = list(np.random.default_rng(1).permutation(before.index))
    groups = grouped_genes.var["programme"]
    dko.tl.perturbation_modules(grouped_genes, order, groups=groups)
    assert by_name(grouped_genes).index.tolist() == order
    pd.testing.assert_frame_equal(by_name(grouped_genes).loc[before.index], before)
    dko.tl.perturbation_modules(grouped_genes, groups=groups)
    same(grouped_genes, _grouped_genes)


def test_direct_effects_have_no_signal_to_go_by(fitted):
    dko.tl.perturbation_modules(fitted)
    table = by_name(fitted)
    assert set(table.index) == set(fitted.var_names) and table["p_effect"].isna().all()
    assert "no effect" not in set(table["module"])


def test_refusals(programmes):
    tell = dko.tl.perturbation_modules
    with pytest.raises(ValueError, match="basis='latent' is for a fit with model='sccvae'"):
        tell(programmes, basis="latent")
    with pytest.raises(KeyError, match="No gene 'gene_x'"):
        tell(programmes, ["gene_1", "gene_x"])
    with pytest.raises(ValueError, match="Modules are of several knockouts, got 1"):
        tell(programmes, "gene_1")
    counts = programmes.X.toarray()
    counts[:, 3] = 0
    programmes.X = sparse.csr_matrix(counts)
    with pytest.raises(ValueError, match="No cell that has a model expresses 'gene_3', so nothing is knocked out"):
        tell(programmes, ["gene_1", "gene_2", "gene_3"])
    assert "dko_modules" not in programmes.uns
