from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko

COLUMNS = ["bray_curtis", "spearman", "spearman_within_gene"]


def expected(adata, split, groupby=None):
    """The rows, put together by hand from profiles."""
    train, held_out = (dko.get.profiles(adata, split=name) for name in ("train", split))
    rows = {"model": held_out.layers["predicted"], "gene mean": dko.metrics.gene_mean(train.X, held_out.X)}
    if groupby is not None:
        own = np.zeros(held_out.shape)
        for group in held_out.obs[groupby].unique():
            mine = (held_out.obs[groupby] == group).to_numpy()
            theirs = train[train.obs[groupby] == group]
            own[mine] = dko.metrics.gene_mean(theirs.X, held_out.X[mine]).toarray()
        rows[f"gene mean per {groupby}"] = own
    table = {name: dko.metrics.fit_quality(held_out.X, row) for name, row in rows.items()}
    return pd.DataFrame(table).T[COLUMNS]


def test_test_cells_if_there_are_any(cells, quick):
    dko.tl.fit(cells, test_fraction=0.25, **quick)
    found = dko.get.fit_quality(cells)
    assert found.attrs == {"split": "test", "n_cells": 20}
    pd.testing.assert_frame_equal(found, expected(cells, "test"), check_exact=False, rtol=1e-9)
    named = dko.get.fit_quality(cells, split="train")
    assert named.attrs == {"split": "train", "n_cells": (cells.obs["dko_split"] == "train").sum()}
    pd.testing.assert_frame_equal(named, expected(cells, "train"), check_exact=False, rtol=1e-9)


def test_otherwise_validation_cells_and_a_column_of_groups(fitted):
    found = dko.get.fit_quality(fitted, groupby="cell_type")
    assert found.attrs == {"split": "validation", "n_cells": 16}
    pd.testing.assert_frame_equal(found, expected(fitted, "validation", "cell_type"), check_exact=False, rtol=1e-9)


@pytest.mark.parametrize(
    ("cells_of", "how", "message"),
    [
        ("all", {"split": "test"}, "No test cells"),
        ("all", {"groupby": "cell_typ"}, "Did you mean 'cell_type'"),
        ("validation", {}, "No train cells in .* use the AnnData of the fit"),
        ("unknown", {}, r"run dko\.tl\.fit"),
    ],
)
def test_says_what_is_missing(cells_of, how, message, fitted):
    split = fitted.obs["dko_split"]
    if cells_of == "unknown":
        del fitted.obs["dko_split"]
    with pytest.raises(KeyError, match=message):
        dko.get.fit_quality(fitted[split == "validation"] if cells_of == "validation" else fitted, **how)
