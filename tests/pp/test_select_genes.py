from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import dko


@pytest.fixture
def adata():
    """200 cells x 60 genes: genes 0 to 9 differ between two kinds of cells, 58 and 59 are silent."""
    rng = np.random.default_rng(0)
    rate = np.full((200, 60), 20.0)
    rate[:100, :10], rate[100:, :10] = 35, 5
    rate[:, 58:] = 0
    adata = AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(60)]
    return adata


def test_all_expressed_genes_up_to_the_limit(adata, capsys):
    assert dko.pp.select_genes(adata) == [f"g{i}" for i in range(58)]
    assert "Genes: all 58 that are expressed, of 60." in capsys.readouterr().err


def test_the_most_variable_ones_above_it(adata, capsys):
    with dko.settings.override(max_genes=10):
        assert dko.pp.select_genes(adata) == [f"g{i}" for i in range(10)]
    assert "Genes: the 10 most variable of 58 that are expressed. Name genes" in capsys.readouterr().err


def test_named_genes_alone(adata, capsys):
    assert dko.pp.select_genes(adata, ["g30", "g2", "g30"]) == ["g2", "g30"]
    assert "Genes: the 2 that were named." in capsys.readouterr().err
    with dko.settings.override(max_genes=10):
        many = [f"g{i}" for i in range(5, 56)]
        assert dko.pp.select_genes(adata, many) == many


def test_a_handful_of_named_genes_joins_the_most_variable_ones(adata):
    with dko.settings.override(max_genes=11):
        assert dko.pp.select_genes(adata, "g40") == [*(f"g{i}" for i in range(10)), "g40"]


def test_a_number_of_genes(adata):
    assert dko.pp.select_genes(adata, n_top_genes=10) == [f"g{i}" for i in range(10)]
    assert dko.pp.select_genes(adata, ["g50"], n_top_genes=11) == [*(f"g{i}" for i in range(10)), "g50"]
    assert dko.pp.select_genes(adata, ["g50", "g51", "g52"], n_top_genes=2) == ["g50", "g51", "g52"]
    assert len(dko.pp.select_genes(adata, n_top_genes=1000)) == 58


def test_genes_of_a_few_cells_are_not_variable(adata):
    x = adata.X.toarray()
    x[:, 20] = 0
    x[:3, 20] = 1000
    adata.X = x
    assert "g20" not in dko.pp.select_genes(adata, n_top_genes=12)


def test_a_named_gene_that_only_other_cells_express_is_kept(cells, quick):
    """Told how many genes to take, a fit still takes the named ones, whichever cells happen to train."""
    dko.tl.fit(cells, test_fraction=0.2, **quick)
    x = cells.X.toarray()
    x[(cells.obs["dko_split"] != "test").to_numpy(), 7] = 0
    x[(cells.obs["dko_split"] == "test").to_numpy(), 7] = 3
    cells.X = x
    dko.tl.fit(cells, genes="gene_7", n_top_genes=20, test_fraction=0.2, **quick)
    assert "gene_7" in cells.uns["dko"]["genes"]
