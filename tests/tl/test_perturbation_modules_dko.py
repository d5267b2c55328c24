from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import dko

from ..conftest import copy_of

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


def by_name(adata):
    return dko.get.modules(adata).set_index("perturbation")


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
