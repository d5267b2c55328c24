from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko
from dko.metrics import log_profiles

DOSES = [0.0, 0.25, 0.5, 1.0]


def curve(adata, label, column):
    return dko.get.dose_response(adata, [label])[column].to_numpy()


@pytest.mark.parametrize("name", ["fitted", "grouped"])
@pytest.mark.parametrize("genes", ["gene_2", ("gene_3", "HSPA1A/B")])
def test_each_dose_of_the_assemblage_is_a_knockout_of_that_dose(name, genes, request):
    adata = request.getfixturevalue(name)
    label = genes if isinstance(genes, str) else "HSPA1A/B+gene_3"
    # Blocks of a few cells.
    with dko.settings.override(memory_budget=12 * 20 * 7):
        dko.tl.dose_response(adata, genes, doses=DOSES)
    found = dko.get.dose_response(adata, genes)
    members = label.split("+")
    columns = adata.var_names.get_indexer(members)
    changes = []
    for row, dose in enumerate(DOSES):
        if dose == 0:
            continue
        dko.tl.virtual_ko(adata, genes, dose=dose)
        impact = dko.get.impact(adata, label)[label].dropna()
        np.testing.assert_allclose(found.loc[row, "impact_mean"], impact.mean(), rtol=1e-4)
        quartiles = found.loc[row, ["impact_q25", "impact_median", "impact_q75"]].astype(float)
        np.testing.assert_allclose(quartiles, impact.quantile([0.25, 0.5, 0.75]), rtol=1e-4)
        after = log_profiles(adata.layers[f"dko_ko_{label.replace('/', '%2F')}"], without=columns)
        before = log_profiles(dko.get.profiles(adata).layers["before"], without=columns)
        cells = adata.obs_names.isin(impact.index)
        change = np.asarray((after - before)[cells].mean(axis=0)).ravel()
        changes.append(change)
        np.testing.assert_allclose(found.loc[row, "distance"], np.linalg.norm(change), rtol=1e-3, atol=1e-5)
        assert found.loc[row, "n_changed"] == (np.abs(change) > 0.1).sum()
        assert found.loc[row, "n_cells"] == len(impact)
    responders = dko.get.dose_response(adata, genes, responders=True)
    wide = responders.pivot(index="gene", columns="dose", values="change")
    np.testing.assert_allclose(
        wide[DOSES[1:]].to_numpy().T, np.array(changes)[:, adata.var_names.get_indexer(wide.index)], atol=1e-5
    )
    order = list(dict.fromkeys(responders["gene"]))
    assert len(order) == 10 and not set(order) & set(members)
    assert (np.diff(wide.loc[order, 1.0].abs()) <= 1e-7).all()


@pytest.mark.parametrize("name", ["fitted", "perturbed"])
def test_a_mixture_of_cells_that_escape(name, request, singles):
    """T5: about half of the cells at a dose of one half, and the same ones at every higher dose."""
    adata = request.getfixturevalue(name)
    gene = "gene_2" if name == "fitted" else singles[0]
    dko.tl.dose_response(adata, gene, doses=[0.0, 0.4, 0.5, 0.6, 1.0], mixture=True)
    found = dko.get.dose_response(adata)
    share = found["impact_mean"] / found["impact_mean"].iloc[-1]
    n_cells = found["n_cells"][0]
    assert abs(share[2] - 0.5) < 3 * 0.5 / np.sqrt(n_cells)
    assert (np.diff(share) > 0).all()
    assert found["impact_q25"][1] == 0 and found["impact_q25"].iloc[-1] > 0
    dko.tl.dose_response(adata, gene, doses=[1.0])
    whole = dko.get.dose_response(adata)
    np.testing.assert_allclose(whole.iloc[0, 1:].astype(float), found.iloc[-1, 1:].astype(float), rtol=1e-4)


def test_a_generator_is_drawn_from_once(perturbed, singles):
    """Or each dose would have other cells that escape."""
    found = []
    for _ in range(2):
        dko.tl.dose_response(perturbed, singles[0], mixture=True, rng=np.random.default_rng(0))
        found.append(dko.get.dose_response(perturbed))
    pd.testing.assert_frame_equal(*found)
    np.testing.assert_allclose(found[0]["dose"], np.arange(11) / 10)


def test_beyond_the_range(perturbed, singles):
    dko.tl.dose_response(perturbed, singles[0], doses=[-0.5, 1.0, 1.5], extrapolate=True)
    latent = curve(perturbed, singles[0], "latent")
    np.testing.assert_allclose(latent / latent[1], [0.5, 1.0, 1.5])
    dko.tl.dose_response(perturbed, singles[0], doses=[-1.0, 0.0], extrapolate=True, n_responders=3)
    found = dko.get.dose_response(perturbed, responders=True)
    change = found.loc[found["dose"] == -1, "change"].abs().to_numpy()
    assert change[0] > 0 and (np.diff(change) <= 0).all()
