from __future__ import annotations

import pandas as pd

from dko._core.genes import in_order


def test_genes_with_evidence_come_first_and_those_of_few_cells_last_among_them():
    table = pd.DataFrame(
        {
            "gene": ["rare", "silent", "weak", "strong", "rare and silent"],
            "downstream_mean": [0.5, 0.4, 0.1, 0.2, 0.6],
            "n_cells": [29, 500, 30, 500, 12],
            "pval_adj": [0.01, 0.9, 0.05, 0.01, 0.5],
        }
    )
    found = in_order(table, "downstream_mean", "pval_adj")
    assert list(found["gene"]) == ["strong", "weak", "rare", "silent", "rare and silent"]
    assert list(in_order(table.drop(columns="pval_adj"), "downstream_mean", "pval_adj")["gene"])[:2] == [
        "silent",
        "strong",
    ]
