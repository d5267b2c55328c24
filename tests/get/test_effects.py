from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.dko import reference as naive


def expected(adata, genes, layers, rows=slice(None)):
    """Mean change over the cells that express any of the genes, and their number: without these in both profiles."""
    columns, changes = adata.var_names.get_indexer(genes), []
    for z in (adata.X.toarray()[rows] > 0).astype(float):
        if z[columns].any():
            lost = [g for g in columns if z[g]]
            profiles = [naive.profile(layers, z), naive.profile(layers, naive.knocked_out(z, lost))]
            for profile in profiles:
                profile[columns] = 0
            before, after = (np.log1p(1e4 * p / p.sum()) if p.sum() else p for p in profiles)
            changes.append(after - before)
    return np.mean(changes, axis=0), len(changes)


def test_equals_the_definition(fitted, layers_of):
    asked = [*fitted.var_names, ("gene_3", "gene_5")]
    effects = dko.get.effects(fitted, asked)
    assert effects.X.dtype == np.float32 and effects.obs_names.tolist() == [*fitted.var_names, "gene_3+gene_5"]
    assert dko.get.effects(fitted).obs_names.tolist() == effects.var_names.tolist() == fitted.var_names.tolist()
    for label in effects.obs_names:
        change, n_cells = expected(fitted, label.split("+"), layers_of(fitted))
        np.testing.assert_allclose(effects[label].X.ravel(), change, atol=2e-4)
        assert effects.obs.loc[label, ["knockout", "n_cells"]].tolist() == [label, n_cells]


def test_per_group(grouped, layers_of):
    effects = dko.get.effects(grouped, ["gene_3", "HSPA1A/B"], groupby="cell_type")
    assert set(effects.obs_names) == {f"{g} ({c})" for g in ("gene_3", "HSPA1A/B") for c in ("B", "CD4/CD8 T")}
    assert effects.obs["group"].cat.categories.tolist() == ["B", "CD4/CD8 T"]
    for number, group in enumerate(["B", "CD4/CD8 T"]):
        rows = (grouped.obs["cell_type"] == group).to_numpy()
        change, n_cells = expected(grouped, ["HSPA1A/B"], layers_of(grouped, number), rows)
        found = effects[f"HSPA1A/B ({group})"]
        np.testing.assert_allclose(found.X.ravel(), change, atol=2e-4)
        assert found.obs["n_cells"].item() == n_cells


def test_a_gene_that_no_cell_expresses_has_no_row(fitted):
    counts = fitted.X.toarray()
    counts[:, 4] = 0
    fitted.X = counts
    assert "gene_4" not in dko.get.effects(fitted).obs_names
    assert dko.get.effects(fitted, ["gene_4", "gene_5"]).obs_names.tolist() == ["gene_5"]


def test_per_group_of_the_control_cells(perturbed):
    gene = perturbed.uns["dko"]["targets"][3]
    effects = dko.get.effects(perturbed, gene, groupby="batch")
    control = perturbed.obs["perturbation"] == "control"
    assert effects.obs_names.tolist() == [f"{gene} (even)", f"{gene} (odd)"]
    assert effects.obs["n_cells"].tolist() == [(control & (perturbed.obs["batch"] == h)).sum() for h in ("even", "odd")]
    dko.tl.virtual_ko(perturbed, gene, groups={"batch": "even"})
    change = np.nanmean(perturbed.layers[f"dko_ko_{gene}"] - perturbed.X.toarray(), axis=0)
    np.testing.assert_allclose(effects.X[0], change, atol=1e-5)


def test_centred_against_the_others(perturbed):
    effects = dko.get.effects(perturbed)
    centred = dko.get.effects(perturbed, centred=True)
    np.testing.assert_allclose(centred.X[0], effects.X[0] - effects.X[1:].mean(axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="name at least two genes"):
        dko.get.effects(perturbed, effects.obs_names[0], centred=True)
