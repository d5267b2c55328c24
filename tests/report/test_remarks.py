"""What a report warns of, and what it does not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import dko
from dko.report import open_run
from dko.report._remarks import remarks


def warnings_of(adata, groupby=None):
    return [remark.text for remark in remarks(open_run(adata, "dko", "rna", groupby, 5)) if remark.is_warning]


def notes_of(adata, groupby=None):
    return [remark.text for remark in remarks(open_run(adata, "dko", "rna", groupby, 5)) if not remark.is_warning]


def has(texts, words):
    return any(words in text for text in texts)


def test_genes_without_signal(complete):
    complete.uns["dko"]["weights"]["signal"][:] = 0.01
    assert not has(warnings_of(complete), "there is no evidence")
    complete.uns["dko"]["weights"]["signal"][:3] = 0.5
    assert has(
        warnings_of(complete), "For 3 of the 20 genes there is no evidence in these cells that others depend on them"
    )


def test_effects_that_are_alike(complete):
    complete.uns["dko"]["params"]["similarity"] = 0.71
    assert has(warnings_of(complete), "correlate at 0.71")
    complete.uns["dko"]["params"]["similarity"] = 0.2
    assert not has(warnings_of(complete), "resemble")


def test_kind_of_effects(complete, fitted):
    assert has(notes_of(complete), "total ones") and not has(notes_of(complete), "direct ones")
    assert has(notes_of(fitted), "direct ones") and not has(warnings_of(fitted), "no other gene")


def test_few_cells(complete):
    assert has(warnings_of(complete), "CD4/CD8 T (40)")
    complete.obs["half"] = pd.Categorical(["a"] * 75 + ["b"] * 5)
    (few,) = (text for text in warnings_of(complete, "half") if "Fewer than" in text)
    assert "b (5)" in few and "a (75)" not in few


def test_a_ranking_that_is_not_tested(complete):
    assert not has(warnings_of(complete), "ranked")
    del complete.uns["by_type"]
    (ranked,) = (text for text in warnings_of(complete, "cell_type") if "ranked" in text)
    assert "in groups of cell_type" in ranked and "`dko.tl.rank_genes(adata, groupby='cell_type')`" in ranked


def test_groups_that_are_not_ranked(complete):
    complete.obs["half"] = pd.Categorical(["a"] * 75 + ["b"] * 5)
    assert has(notes_of(complete, "half"), "Genes are not ranked in b:")


def test_a_model_that_is_no_better_than_means(fitted):
    fitted.uns["dko"]["weights"]["influence"][:] = 0
    fitted.uns["dko"]["weights"]["intercept"][:] = 1
    assert has(warnings_of(fitted), "no better than the gene mean (Bray-Curtis")


def test_quality_that_cannot_be_told(fitted, page_of):
    rest = fitted[fitted.obs["dko_split"] == "train"].copy()
    assert not has(warnings_of(rest), "no better than")
    assert "The quality of the fit cannot be told: No validation cells" in page_of(rest).sections["fit"]


@pytest.mark.parametrize(("losses", "falls"), [([3, 2, 1], True), ([3, 1, 2], False), ([2, 1], False)])
def test_training_that_ended_early(fitted, losses, falls):
    history = fitted.uns["dko"]["history"].iloc[[0] * len(losses)].reset_index(drop=True)
    fitted.uns["dko"]["history"] = history.assign(validation_loss=[float(loss) for loss in losses])
    assert has(warnings_of(fitted), "still falling") == falls


def test_groups_whose_training_ended_early(grouped):
    rows = [
        (group, loss) for group in ("B", "CD4/CD8 T") for loss in ((3.0, 2.0, 1.0) if group == "B" else (1.0, 2.0, 3.0))
    ]
    history = pd.DataFrame(rows, columns=["group", "validation_loss"])
    grouped.uns["dko"]["history"] = history.assign(step=1, epoch=1, train_loss=1.0)
    assert has(warnings_of(grouped), "validation loss of B was still falling")


def test_baselines_that_foretell_better(evaluated):
    summary = evaluated.uns["dko_evaluation"]["summary"]
    of_model = (summary["method"] == "model") & (summary["metric"] == "pearson")
    summary.loc[of_model, "mean"] = 2.0
    assert not has(warnings_of(evaluated), "predicted better")
    summary.loc[of_model, "mean"] = -2.0
    assert has(warnings_of(evaluated), "predicted better by")


def test_perturbations_that_were_dropped(screen):
    how: dict[str, Any] = {"perturbation_key": "knockout", "control": "control", "progress": False}
    sizes: dict[str, Any] = {
        "n_latent": 4,
        "hidden": (8,),
        "groups": 4,
        "batch_size": 32,
        "n_members": 1,
        "max_steps": 3,
    }
    screen = screen[~screen.obs_names.isin(screen.obs_names[screen.obs["knockout"] == "gene_6"][5:])].copy()
    dko.tl.fit(screen, model="sccvae", normalize=True, holdout=["gene_2"], **how, **sizes)
    found = warnings_of(screen)
    assert has(found, "were dropped, for too few cells or unknown genes: gene_6.")
    assert not has(found, "No perturbation was held out")
