"""Cells of a screen in which a model of perturbations predicts: those of the control, each by itself."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko
from dko.models.sccvae.network import Network

GENE = "gene_3"


def predicted(adata, genes: Any = GENE, **how):
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
        predicted(change(perturbations), **{"genes": GENE, **how})


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
    assert max(encoded) == (17 if mixture else 7) and sum(encoded) == 2 * 50  # a mixture is of two states
