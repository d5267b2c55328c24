from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko
from dko.models.sccvae.network import Network

from ..conftest import PERTURB_SEQ


def layer_of(adata, label):
    """Predicted expression of the control cells."""
    return np.asarray(adata.layers[f"dko_ko_{label}"])[control_of(adata)]


def control_of(adata):
    return (adata.obs["perturbation"] == "control").to_numpy()


def predicted(adata, genes, **kwargs):
    dko.tl.virtual_ko(adata, genes, **kwargs)
    return layer_of(adata, genes if isinstance(genes, str) else "+".join(sorted(genes)))


@pytest.mark.parametrize("how", [{}, {"dose": 0.4}, {"mixture": True, "dose": 0.7}, {"batch_size": 9}])
def test_means_of_predicted_less_observed_cells_are_the_effects(perturbed, singles, how):
    """Of seen and unseen genes, and of several together."""
    asked = [*singles, (singles[0], singles[5])]
    x = perturbed.X.toarray()[control_of(perturbed)]
    cells = [predicted(perturbed, one, **how) for one in asked]
    changes = np.array([one.mean(axis=0) - x.mean(axis=0) for one in cells])
    assert all((one >= 0).all() for one in cells)
    if "dose" not in how:
        np.testing.assert_allclose(changes, dko.get.effects(perturbed, asked).X, atol=1e-4)
        return
    dko.tl.dose_response(perturbed, asked, doses=[how["dose"]], mixture="mixture" in how)
    for members, change in zip(asked, changes, strict=True):
        change[np.isin(perturbed.var_names, members)] = 0
    found = dko.get.dose_response(perturbed)["distance"]
    np.testing.assert_allclose(found, np.linalg.norm(changes, axis=1), rtol=1e-3)


def test_means_over_a_group_are_the_effects_in_it(perturbed, singles):
    """Of one call for all cells, or for those of the group alone."""
    effects = dko.get.effects(perturbed, singles[0], groupby="batch")
    x, control = perturbed.X.toarray(), control_of(perturbed)
    whole = predicted(perturbed, singles[0])
    for batch in ("even", "odd"):
        cells = (perturbed.obs["batch"] == batch).to_numpy() & control
        expected = effects[f"{singles[0]} ({batch})"].X[0]
        np.testing.assert_allclose(whole[cells[control]].mean(axis=0) - x[cells].mean(axis=0), expected, atol=1e-4)
        dko.tl.virtual_ko(perturbed, singles[0], groups={"batch": batch})
        layer = perturbed.layers[f"dko_ko_{singles[0]}"]
        np.testing.assert_allclose(layer[cells], whole[cells[control]], atol=1e-5)
        assert np.isnan(layer[~cells]).all()


def test_zeros_stay_where_a_gene_is_predicted_to_fall(perturbed, singles):
    x = perturbed.X.toarray()[control_of(perturbed)]
    column = list(perturbed.var_names).index(singles[0])
    found = predicted(perturbed, singles[0])[:, column]
    assert (x[:, column] == 0).any() and (found[x[:, column] == 0] == 0).all()
    assert found.mean() < x[:, column].mean()


def test_nothing_measured_in_perturbed_cells_enters(perturbed, singles):
    """T7: what any of them holds, held out or not, and whether they are there."""
    label = next(label for label in perturbed.varm["effect"] if "+" in label)
    asked = [*singles, tuple(label.split("+"))]
    dko.tl.virtual_ko(perturbed, asked)
    control = control_of(perturbed)
    changed = perturbed.copy()
    x = changed.X.toarray()
    x[~control] = 5.5
    changed.X = x
    alone = perturbed[control].copy()
    for adata in (changed, alone):
        dko.tl.virtual_ko(adata, asked)
        for gene in (*singles, label):
            np.testing.assert_allclose(layer_of(adata, gene), layer_of(perturbed, gene), atol=1e-5)
            impact = adata.obsm["dko_impact"][gene][control_of(adata)]
            np.testing.assert_allclose(impact, perturbed.obsm["dko_impact"][gene][control], atol=1e-6)


def test_genes_outside_the_model_have_no_prediction(perturbed, singles):
    """Of an AnnData that has more genes than were fitted."""
    dko.tl.fit(perturbed, **PERTURB_SEQ, n_members=1, max_steps=10, n_top_genes=10)
    fitted = set(perturbed.uns["dko"]["genes"])
    dko.tl.virtual_ko(perturbed, singles[0])
    finite = np.isfinite(perturbed.layers[f"dko_ko_{singles[0]}"][control_of(perturbed)]).all(axis=0)
    assert set(perturbed.var_names[finite]) == fitted and len(fitted) < 40


def test_effects_are_learned(perturbed, singles):
    """Of knockdowns that were seen, and of the sixth, which was not."""
    found, true = dko.get.effects(perturbed, singles).X, perturbed.varm["effect"][singles].to_numpy().T
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in zip(found, true, strict=True)]
    assert np.mean(correlations[:5]) > 0.6


GENE = "gene_3"


def predicted_cells(adata, genes: Any = GENE, **how):
    """Cells x genes, NaN outside the control."""
    found = dko.tl.virtual_ko(adata, genes, copy=True, progress=False, **how)
    assert found is not None
    return np.asarray(found.layers[f"dko_ko_{genes}"])


def only_in_raw(adata):
    more = AnnData(np.ones((adata.n_obs, 1), np.float32), adata.obs, pd.DataFrame(index=["SOX2"]))
    adata.raw = ad.concat([adata, more], axis=1)
    return adata


def renamed(adata):
    adata.obs["knockout"] = adata.obs["knockout"].astype(str).replace("control", "ctrl")
    return adata


def same(adata):
    return adata


WRONG: dict[str, Any] = {
    "gene": (same, {"genes": "SOX2"}, KeyError, "No gene 'SOX2' .* It knows the 20 genes that have features"),
    "raw": (only_in_raw, {"genes": "SOX2"}, KeyError, "'SOX2': in adata.raw but not in var_names.* 20 of its 21"),
    "control": (renamed, {}, KeyError, r"No cell is 'control', .* obs\['knockout'\], which has 'ctrl', 'gene_"),
    "genes": (lambda adata: adata[:, 1:].copy(), {}, KeyError, "lacks 1 of the 20 genes of the fit: 'HSPA1A/B'"),
    "cells": (same, {"groups": np.arange(80) > 60}, ValueError, "None of the chosen cells is a control"),
    "device": (same, {"device": "tpu9"}, ValueError, "device='tpu9' cannot be used here"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_named(name, perturbations):
    change, how, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        predicted_cells(change(perturbations), **{"genes": GENE, **how})


@pytest.fixture
def encoded(monkeypatch):
    """Numbers of cells that were encoded together."""
    found, encode = [], Network.encode

    def counted(network, cells):
        found.append(len(cells))
        return encode(network, cells)

    monkeypatch.setattr(Network, "encode", counted)
    return found


@pytest.mark.parametrize("mixture", [False, True])
def test_doses_are_those_of_one_encoding(mixture, perturbations, encoded):
    doses = [0.0, 0.4, 1.0]
    dko.tl.dose_response(perturbations, GENE, doses=doses, mixture=mixture, rng=5, progress=False)
    assert encoded == [50, 50], "once by each of two members"
    table = dko.get.dose_response(perturbations)
    for dose, impact in zip(doses, table["impact_median"], strict=True):
        alone: Any = dko.tl.virtual_ko(
            perturbations, GENE, dose=dose, mixture=mixture, rng=5, profiles=False, copy=True
        )
        assert impact == pytest.approx(np.nanmedian(alone.obsm["dko_impact"][GENE]), abs=1e-5)
    assert table["impact_median"].iloc[0] == 0


@pytest.mark.parametrize("mixture", [False, True])
def test_all_doses_of_a_block_fit_into_memory(mixture, perturbations, encoded):
    doses = [0.0, 0.2, 0.5, 1.0]
    with dko.settings.override(memory_budget=16 * 20 * (1 + len(doses)) * 7):
        dko.tl.dose_response(perturbations, GENE, doses=doses, mixture=mixture, progress=False)
    # A mixture is of two states; no more than 15 cells are read at a time.
    assert max(encoded) == (15 if mixture else 7) and sum(encoded) == 2 * 50
