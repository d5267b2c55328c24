"""What predictions are worth where the truth is known; the tables of docs/accuracy.md are of many more cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dko


def correlation(found, true, lost):
    return np.corrcoef(np.delete(found, lost), np.delete(true, lost))[0, 1]


def true_effect(adata, gene):
    """Mean change of log1p(1e4 * profile) in the cells that express a gene, without the gene itself."""
    lost, before = adata.var_names.get_loc(gene), dko.datasets.grn_knockout(adata, [])
    rows = np.flatnonzero(adata.X.toarray()[:, lost])
    rest = [profiles[rows].toarray() for profiles in (before, dko.datasets.grn_knockout(adata, gene))]
    for profiles in rest:
        profiles[:, lost] = 0
        profiles /= profiles.sum(axis=1, keepdims=True)
    return (np.log1p(1e4 * rest[1]) - np.log1p(1e4 * rest[0])).mean(axis=0), lost


@pytest.mark.parametrize("seed", range(3))
def test_total_effects_are_near_the_truth_and_far_above_co_expression(seed):
    adata = dko.datasets.grn(400, 60, depth=2_000, rng=seed)
    genes = list(adata.var_names[np.argsort(-adata.X.getnnz(axis=0), kind="stable")[:15]])
    dko.tl.fit(adata, max_steps=5, effects="total", progress=False)
    effects = dko.get.effects(adata, genes).X
    baselines = dko.metrics.baseline_effects(adata.X, adata.var_names.get_indexer(genes))
    truth = [true_effect(adata, gene) for gene in genes]
    model, baseline, mean = (
        np.mean([correlation(one, *true) for one, true in zip(of, truth, strict=True)])
        for of in (effects, baselines["co-expression"], baselines["gene mean"])
    )
    assert model > 0.85 and model > baseline + 0.3
    assert abs(mean) < 0.1


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_unseen_perturbations_are_predicted_better_than_by_the_mean_effect(seed):
    adata = dko.datasets.perturb_seq(16, 60, n_cells=40, n_controls=200, n_modules=3, rng=seed)
    labels = adata.obs["perturbation"].astype(str).to_numpy()
    known = sorted(set(labels) - {"control"})
    holdout = known[::5]
    screen: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "holdout": holdout}
    dko.tl.fit(adata, model="sccvae", **screen, n_members=1, max_steps=120, progress=False)
    found = dko.get.effects(adata, holdout)
    assert list(found.var_names) == list(adata.var_names)
    values = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    measured = {label: (values[labels == label] - values[labels == "control"].mean(0)).mean(0) for label in known}
    mean = np.mean([measured[label] for label in known if label not in holdout], axis=0)
    model, baseline = (
        np.mean([
            correlation(one, measured[label], adata.var_names.get_loc(label))
            for label, one in zip(holdout, of, strict=True)
        ])
        for of in (found.X, [mean] * len(holdout))
    )  # fmt: skip
    assert model > 0.7 and model > baseline + 0.2
