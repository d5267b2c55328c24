"""Fitted and scanned cells for the plots; every figure is closed after its test."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import dko

from ..conftest import copy_of

GENES = ["gene_3", "HSPA1A/B"]


@pytest.fixture(autouse=True)
def _no_figure_left():
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def _scanned(_cells):
    """One model, test cells, all genes scanned."""
    adata = dko.tl.fit(_cells, test_fraction=0.25, max_epochs=4, progress=False, copy=True)
    dko.tl.scan(adata)
    return adata


scanned = copy_of("scanned")


@pytest.fixture(scope="session")
def _pictured(_fitted):
    """Cells on three islands, with weights that are given and all results that can be drawn."""
    rng = np.random.default_rng(0)
    adata = _fitted.copy()
    n, genes = adata.n_obs, list(adata.var_names)
    weights = adata.uns["dko"]["weights"]
    weights["influence"] = rng.normal(0.5, 1.0, (1, 20, 20)).astype(np.float32)
    weights["intercept"] = rng.uniform(0.5, 1.5, (1, 20)).astype(np.float32)
    island = np.arange(n) % 3
    adata.obs["type"] = pd.Categorical(np.array(["B", "CD4/CD8 T", "NK"])[island])
    adata.obsm["X_umap"] = np.array([[0.0, 0], [6, 1], [2, 5]])[island] + rng.normal(size=(n, 2))
    steps = np.arange(1, 31)
    adata.uns["dko"]["history"] = pd.DataFrame(
        {
            "epoch": steps,
            "step": 10 * steps,
            "train_loss": 0.2 + 0.5 * np.exp(-steps / 6),
            "validation_loss": 0.3 + 0.4 * np.exp(-steps / 5) + 0.002 * np.maximum(steps - 15, 0),
        }
    )
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, GENES)
    dko.tl.dose_response(adata, GENES, doses=[0, 0.25, 0.5, 0.75, 1])
    dko.tl.rank_genes(adata, n_bootstraps=50)
    ranked = adata.uns["dko_ranking"]["table"]
    ranked["pval_adj"] = np.where(np.arange(len(ranked)) % 2, 0.5, 0.01)
    adata.uns["dko_affected"] = {"table": affected(genes, rng)}
    adata.uns["dko_interactions"] = {"table": interacting(genes[:8], rng)}
    adata.uns["dko_modules"] = {"table": mapped(rng)}
    adata.uns["dko_evaluation"] = evaluated(rng)
    for name, pull in (("gene_3", (0.02, 0.01)), ("HSPA1A%2FB", (-0.01, 0.02))):
        adata.obsm[f"dko_shift_umap_{name}"] = (np.array(pull) * (1 + rng.random((n, 1)))).astype(np.float32)
    return adata


pictured = copy_of("pictured")


def affected(genes, rng):
    """Genes that four knockouts change, as dko.tl.affected_genes leaves them."""
    parts = []
    for knockout in ("gene_3", "HSPA1A/B", "gene_5", "gene_7"):
        z = rng.normal(scale=5, size=len(genes))
        part = pd.DataFrame(
            {"knockout": knockout, "gene": genes, "z": z, "change": z / 50 + rng.normal(0, 0.02, len(z)), "n_cells": 40}
        )
        part["pval_adj"], part["specific"] = np.where(np.abs(z) > 2, 0.001, 0.5), np.arange(len(z)) % 2 == 0
        parts.append(part[part["gene"] != knockout])
    return pd.concat(parts, ignore_index=True)


def interacting(genes, rng):
    """Pairs of genes as dko.tl.interactions leaves them."""
    table = pd.DataFrame(list(combinations(genes, 2)), columns=["gene_a", "gene_b"])
    for of in "ab":
        table[f"downstream_{of}"] = table[f"gene_{of}"].map({gene: 0.01 * (1 + i) for i, gene in enumerate(genes)})
    table["z"] = rng.normal(scale=3, size=len(table))
    kind = np.where(table["z"] > 0, "synergy", "buffering")
    table["class"] = pd.Categorical(np.where(table["z"].abs() > 3, kind, "additive"))
    return table


def mapped(rng):
    """Perturbations on a map, as dko.tl.perturbation_modules leaves them."""
    module = np.array(["1", "2", "3", "no effect"], dtype=object)[np.arange(24) % 4]
    place = np.array([[0.0, 0], [5, 0], [0, 5], [4, 4]])[np.arange(24) % 4] + rng.normal(size=(24, 2))
    names = [f"GENE{i}" for i in range(24)]
    table = pd.DataFrame({"perturbation": names, "module": module, "umap_1": place[:, 0], "umap_2": place[:, 1]})
    return table.assign(strength=rng.random(24), is_unseen=np.arange(24) % 5 == 0)


def evaluated(rng):
    """Values of methods as dko.tl.evaluate leaves them."""
    level = {"model": 0.45, "co-expression": 0.3, "gene mean": 0.1, "no change": 0.0, "permuted cells": 0.02}
    names = [f"GENE{i}" for i in range(8)]
    values = {method: {"pearson": mean + rng.normal(0, 0.1, 8)} for method, mean in level.items()}
    values["measurement"] = {"ceiling": 0.8 + rng.normal(0, 0.05, 8), "predictable": np.ones(8), "reliable": np.ones(8)}
    parts = [
        pd.DataFrame({"method": method, "metric": metric, "perturbation": names, "value": numbers})
        for method, metrics in values.items()
        for metric, numbers in metrics.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    summary = table.groupby(["method", "metric"], sort=False)["value"].agg(["mean", "sem"]).reset_index()
    summary["low"], summary["high"] = (summary["mean"] + sign * 2 * summary["sem"] for sign in (-1, 1))
    summary[["gain", "gain_low", "gain_high"]] = np.nan
    return {"table": table, "summary": summary, "params": {"n_perturbations": 8, "summary_over": "reliable"}}
