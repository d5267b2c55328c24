from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import dko
from dko._core.cells import Source
from dko._core.expression import read_expression


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


FIRST = [f"g{i}" for i in range(10)]
MANY = [f"g{i}" for i in range(5, 56)]


@pytest.mark.parametrize(
    ("genes", "n_top_genes", "max_genes", "found", "says"),
    [
        (None, None, 5_000, [f"g{i}" for i in range(58)], "Genes: all 58 that are expressed, of 60."),
        (None, None, 10, FIRST, "Genes: the 10 most variable of 58 that are expressed. Name genes"),
        (["g30", "g2", "g30"], None, 5_000, ["g2", "g30"], "Genes: the 2 that were named."),
        (MANY, None, 10, MANY, "that were named"),
        ("g40", None, 11, [*FIRST, "g40"], ""),
        (None, 10, 5_000, FIRST, ""),
        (["g50"], 11, 5_000, [*FIRST, "g50"], ""),
        (["g50", "g51", "g52"], 2, 5_000, ["g50", "g51", "g52"], ""),
        (None, 58, 5_000, [f"g{i}" for i in range(58)], "are expressed, of 60.\n"),
        (None, 100, 5_000, [f"g{i}" for i in range(58)], "are expressed, of 60, fewer than n_top_genes=100.\n"),
    ],
)
def test_named_genes_and_the_most_variable_ones(adata, capsys, genes, n_top_genes, max_genes, found, says):
    with dko.settings.override(max_genes=max_genes):
        assert dko.pp.select_genes(adata, genes, n_top_genes=n_top_genes) == found
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("budget", [4_000, 2**28])
@pytest.mark.parametrize("log", [False, True])
def test_variability_is_that_of_scanpy(adata, budget, log):
    adata.X[:, 3] = 0
    adata.X[:, 4] = 1e4 * adata.X[:, 4]  # alone with its mean
    adata.X.eliminate_zeros()
    normalised = sc.pp.log1p(sc.pp.normalize_total(adata, target_sum=1e4, copy=True), copy=True)
    expected = sc.pp.highly_variable_genes(normalised, flavor="seurat", inplace=False)["dispersions_norm"]
    seen = Source(normalised if log else adata)
    with dko.settings.override(memory_budget=budget, verbosity=0):
        found = read_expression(seen, None).dispersions()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


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
