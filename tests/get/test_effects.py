from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko
from dko.models.assemblage import _reference as naive


def expected(adata, gene, layers, rows=slice(None)):
    """Mean change, cell by cell as it is defined, and the number of cells."""
    g = adata.var_names.get_loc(gene)
    changes = []
    for z in (adata.X.toarray()[rows] > 0).astype(float):
        if not z[g]:
            continue
        before, after = naive.profile(layers, z), naive.profile(layers, naive.knocked_out(z, [g]))
        before[g] = 0
        logs = [np.log1p(1e4 * p / p.sum()) if p.sum() else p for p in (before, after)]
        changes.append(logs[1] - logs[0])
    return np.mean(changes, axis=0), len(changes)


def test_equals_the_definition(fitted, layers_of):
    effects = dko.get.effects(fitted)
    assert effects.X.dtype == np.float32
    assert effects.obs_names.tolist() == effects.var_names.tolist() == fitted.var_names.tolist()
    for gene in fitted.var_names:
        change, n_cells = expected(fitted, gene, layers_of(fitted))
        np.testing.assert_allclose(effects[gene].X.ravel(), change, atol=2e-4)
        assert effects[gene, gene].X == 0
        assert effects.obs.loc[gene, ["knockout", "n_cells"]].tolist() == [gene, n_cells]


def test_per_group(grouped, layers_of):
    effects = dko.get.effects(grouped, ["gene_3", "HSPA1A/B"], groupby="cell_type")
    assert set(effects.obs_names) == {f"{g} ({c})" for g in ("gene_3", "HSPA1A/B") for c in ("B", "CD4/CD8 T")}
    assert effects.obs["group"].cat.categories.tolist() == ["B", "CD4/CD8 T"]
    for number, group in enumerate(["B", "CD4/CD8 T"]):
        rows = (grouped.obs["cell_type"] == group).to_numpy()
        change, n_cells = expected(grouped, "HSPA1A/B", layers_of(grouped, number), rows)
        found = effects[f"HSPA1A/B ({group})"]
        np.testing.assert_allclose(found.X.ravel(), change, atol=2e-4)
        assert found.obs["n_cells"].item() == n_cells


def test_any_memory_budget(fitted):
    whole = dko.get.effects(fitted, "gene_4")
    assert whole.n_obs == 1
    with dko.settings.override(memory_budget=1):
        np.testing.assert_allclose(dko.get.effects(fitted, "gene_4").X, whole.X, atol=1e-5)
        assert dko.get.effects(fitted).shape == (20, 20)


def test_cells_without_a_group_are_left_out(fitted):
    fitted.obs["half"] = pd.Categorical(["a"] * 40 + [None] * 40)
    effects = dko.get.effects(fitted, "gene_2", groupby="half")
    assert effects.obs_names.tolist() == ["gene_2 (a)"]
    assert effects.obs["n_cells"].item() == (fitted[:40, "gene_2"].X.toarray() > 0).sum()


def test_a_gene_that_no_cell_expresses_has_no_row(fitted):
    counts = fitted.X.toarray()
    counts[:, 4] = 0
    fitted.X = counts
    assert "gene_4" not in dko.get.effects(fitted).obs_names
    assert dko.get.effects(fitted, ["gene_4", "gene_5"]).obs_names.tolist() == ["gene_5"]


def test_unknown_column(fitted):
    with pytest.raises(KeyError, match="No column 'celltype' in adata.obs. Did you mean 'cell_type'"):
        dko.get.effects(fitted, groupby="celltype")
