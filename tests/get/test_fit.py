from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko

from .. import paper as naive


def test_observed_and_predicted(fitted, layers_of):
    found = dko.get.profiles(fitted)
    counts = fitted.X.toarray()
    np.testing.assert_allclose(found.X.toarray(), counts / counts.sum(axis=1, keepdims=True), atol=1e-6)
    expected = [naive.profile(layers_of(fitted), (row > 0).astype(float)) for row in counts]
    np.testing.assert_allclose(found.layers["predicted"].toarray(), expected, atol=1e-5)
    assert found.X.dtype == found.layers["predicted"].dtype == np.float32
    assert found.var_names.tolist() == fitted.uns["dko"]["genes"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_cells_of_a_split(split, cells, quick):
    dko.tl.fit(cells, test_fraction=0.25, **quick)
    found = dko.get.profiles(cells, split=split)
    assert found.obs_names.tolist() == cells.obs_names[cells.obs["dko_split"] == split].tolist()
    whole = dko.get.profiles(cells)[found.obs_names]
    np.testing.assert_allclose(found.layers["predicted"].toarray(), whole.layers["predicted"].toarray(), atol=1e-6)


def test_cells_without_a_model_have_no_prediction(cells, quick):
    cells.obs["kind"] = ["many"] * 78 + ["few"] * 2
    dko.tl.fit(cells, groupby="kind", **quick)
    predicted = dko.get.profiles(cells).layers["predicted"].toarray()
    assert not predicted[78:].any()
    np.testing.assert_allclose(predicted[:78].sum(axis=1), 1, atol=1e-5)


def test_only_genes_of_the_model_count(cells, quick):
    dko.tl.fit(cells, genes=list(cells.var_names[::-1][:15]), **quick)
    found = dko.get.profiles(cells)
    assert found.var_names.tolist() == cells.var_names[5:].tolist()
    np.testing.assert_allclose(found.X.sum(axis=1), 1, atol=1e-6)


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
    assert found.attrs == {"split": "test", "n_cells": 20, "n_split": 20}
    pd.testing.assert_frame_equal(found, expected(cells, "test"), check_exact=False, rtol=1e-9)


def test_otherwise_validation_cells_and_a_column_of_groups(fitted):
    found = dko.get.fit_quality(fitted, groupby="cell_type")
    assert found.attrs == {"split": "validation", "n_cells": 16, "n_split": 16}
    pd.testing.assert_frame_equal(found, expected(fitted, "validation", "cell_type"), check_exact=False, rtol=1e-9)
