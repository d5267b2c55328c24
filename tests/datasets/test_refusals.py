from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dko.datasets import grn, grn_knockout, grn_types, perturb_seq

SMALL: dict[Any, dict[str, int]] = {
    grn: {},
    grn_types: {"n_cells": 20, "n_genes": 10},
    perturb_seq: {"n_perturbations": 3, "n_genes": 20},
}


@pytest.mark.parametrize(
    ("simulate", "given", "says"),
    [
        (grn, {"n_cells": 0}, "n_cells=0 must be at least 1"),
        (grn, {"density": 1.5}, "density=1.5 must be from 0 to 1"),
        (grn, {"repression_share": -0.1}, "repression_share=-0.1 must be"),
        (grn, {"share_present": (0.9, 0.5)}, r"share_present is \(0.9, 0.5\)"),
        (grn, {"share_present": 0.0}, "share_present is 0.0"),
        (grn, {"decay": 0.0}, "decay=0.0 must be above 0"),
        (grn, {"noise": -1.0}, "noise=-1.0 must be at least 0"),
        (grn, {"heterogeneity": float("nan")}, "heterogeneity=nan must be a number"),
        (grn, {"depth": 0.5}, "depth=0.5 must be at least 1"),
        (grn, {"density": 0.0}, "No gene lasts in 500 of 500 cells"),
        (grn, {"network": np.ones((2, 3))}, r"shape \(2, 3\): give a square matrix"),
        (grn, {"network": np.ones((0, 0))}, "give a square matrix"),
        (grn, {"network": np.array([[0.0, np.nan], [1.0, 0.0]])}, "NaN or infinite"),
        (grn, {"network": pd.DataFrame(np.ones((2, 2)), ["A", "B"], ["A", "C"])}, "'B', 'C' on one axis only"),
        (grn, {"network": pd.DataFrame(np.ones((2, 2)), ["A", "A"], ["A", "A"])}, "'A' more than once"),
        (grn_types, {"n_genes": 0}, "n_genes=0 must be at least 1"),
        (grn_types, {"n_types": 0}, "n_types=0 must be at least 1"),
        (grn_types, {"n_masters": 11}, "n_masters is 11: give at most n_genes=10"),
        (grn_types, {"regulating_share": 1.5}, "regulating_share=1.5 must be from 0 to 1"),
        (grn_types, {"n_regulators": (3, 2)}, r"n_regulators is \(3, 2\): give a range"),
        (grn_types, {"n_regulators": 3}, "n_regulators is 3: give a range of two whole numbers"),
        (grn_types, {"n_regulators": (1, 2, 3)}, r"n_regulators is \(1, 2, 3\): give a range of two whole numbers"),
        (grn_types, {"dropout": 101}, "dropout=101 must be a percentile"),
        (perturb_seq, {"n_controls": 0}, "must be at least 1"),
        (perturb_seq, {"n_perturbations": 21}, "n_perturbations is 21: give at least 1 and at most n_genes=20"),
        (perturb_seq, {"n_modules": 21}, "n_modules is 21"),
        (perturb_seq, {"n_perturbations": 2, "n_pairs": 2}, "n_pairs is 2: 2 targets have 1 pairs"),
        (perturb_seq, {"n_without_effect": -1}, "n_without_effect=-1 must be at least 0"),
        (perturb_seq, {"strength": (2, 1)}, r"strength is \(2, 1\): give a range"),
        (perturb_seq, {"penetrance": np.nan}, "penetrance=nan must be a number"),
        (perturb_seq, {"knockdown": 1.0}, "knockdown=1.0 must be at least 0 and below 1"),
    ],
)
def test_parameters_out_of_range(simulate, given, says):
    with pytest.raises(ValueError, match=says):
        simulate(**SMALL[simulate] | given)


def lacking(adata, place, name):
    bare = adata.copy()
    del getattr(bare, place)[name]
    return bare


def circular(adata):
    changed = adata.copy()
    changed.varp["network"] = changed.varp["network"] + changed.varp["network"].T
    return changed


@pytest.mark.parametrize(
    ("change", "gene", "how", "says"),
    [
        (lambda a: a, "gene_200", {}, "No gene 'gene_200' in var_names. Did you mean 'gene_"),
        (lambda a: a, "gene_2", {"cells": ["cell_1", "cell_x"]}, "No cell 'cell_x' in obs_names"),
        (lambda a: AnnData(np.ones((2, 2), dtype=np.float32)), "0", {}, "carries no simulation"),
        (lambda a: a[:, :4], "gene_2", {}, "has 4 of the 25 simulated genes"),
        (lambda a: lacking(a, "layers", "production"), "gene_2", {}, r"layers\['production'\] is missing"),
        (lambda a: lacking(a, "var", "half_response"), "gene_2", {}, r"var\['half_response'\] is missing"),
        (circular, "gene_2", {}, "The network has a cycle"),
    ],
)
def test_cells_without_what_is_needed(typed, change, gene, how, says):
    with pytest.raises((ValueError, KeyError), match=says):
        grn_knockout(change(typed), gene, **how)
