"""Known regulation, or measured effects, beside the cells of a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko


def network(*edges, **columns):
    return pd.DataFrame(edges, columns=["source", "target", "weight"]).assign(**columns)


EDGES = network(("gene_3", "gene_9", 1.0), ("gene_3", "gene_11", -2.0), ("gene_7", "gene_3", 1), ("ELSE", "gene_3", 1))


@pytest.fixture(scope="module")
def regulated():
    """Cells of three types, in which presence is regulated."""
    return dko.datasets.grn_types(150, 30, n_types=3, depth=600, regulating_share=0.4, rng=3)


@pytest.fixture(scope="module")
def without(regulated):
    return effects_of(regulated, None)


def fit(cells, prior=None) -> AnnData:
    fitted = dko.tl.fit(cells, prior=prior, effects="total", max_epochs=2, progress=False, copy=True)
    assert isinstance(fitted, AnnData)
    return fitted


def effects_of(cells, prior):
    return dko.get.effects(fit(cells, prior)).to_df()


def test_targets_move_as_their_sign_says_and_other_genes_stay(regulated, without):
    fitted = fit(regulated, EDGES)
    change = dko.get.effects(fitted).to_df() - without
    assert change.loc["gene_3", "gene_9"] < 0 < change.loc["gene_3", "gene_11"]
    assert change.loc["gene_7", "gene_3"] < 0
    # Targets of a target follow from the cells.
    assert change.loc["gene_3"].drop(["gene_3", "gene_9", "gene_11"]).abs().max() > 0
    assert (change.drop(["gene_3", "gene_7"]) == 0).all(axis=None)
    plain = fit(regulated)
    np.testing.assert_array_equal(fitted.var["dko_signal"], plain.var["dko_signal"])
    params = fitted.uns["dko"]["params"]
    assert (params["prior_genes"], params["prior_effects"]) == (2, 3) and 0 <= params["prior_agreement"] <= 1


def test_dorothea_is_read_with_its_confidence(regulated):
    table = pd.DataFrame(
        {"tf": ["gene_3", "gene_3"], "confidence": ["A", "D"], "target": ["gene_9", "gene_11"], "mor": [1.0, -1.0]},
        index=["edge", "edge"],
    )
    same = network(("gene_3", "gene_9", 4), ("gene_3", "gene_11", -1))
    np.testing.assert_allclose(effects_of(regulated, table), effects_of(regulated, same), atol=1e-6)


@pytest.mark.parametrize("kind", [AnnData, pd.DataFrame])
def test_measured_effects_are_averaged_where_they_were_measured(regulated, without, kind):
    measured = pd.DataFrame(
        [[-1.0, np.nan, 0.7], [0.1, 0.1, 0.1]], index=["gene_3", "ELSE"], columns=["gene_9", "gene_11", "gene_3"]
    )
    fitted = fit(regulated, AnnData(measured) if kind is AnnData else measured)
    plain = fit(regulated)
    before, after = (one.uns["dko"]["weights"]["total_influence"][0] for one in (plain, fitted))
    source, target = 3, 9
    assert after[target, source] == pytest.approx((before[target, source] + 1) / 2, abs=1e-5)
    rest = np.ones_like(before, dtype=bool)
    rest[target, source] = False
    np.testing.assert_array_equal(after[rest], before[rest])
    assert fitted.uns["dko"]["params"]["prior"] == "measured effects"


WRONG = {
    "no table": ("dorothea", TypeError, "must be a table with the columns source, target and weight, or measured"),
    "column": (EDGES.drop(columns="weight"), ValueError, "prior has no column 'weight'"),
    "text": (EDGES.assign(weight="high"), ValueError, "Column 'weight' of prior holds 'high', and must hold numbers"),
    "nan": (EDGES.assign(weight=[1, np.nan, 1, 1]), ValueError, "rows without a value in column 'weight'"),
    "no name": (EDGES.assign(source=[None, "a", "b", "c"]), ValueError, "rows without a value in column 'source'"),
    "twice": (pd.concat([EDGES, EDGES]), ValueError, "gene_3 -> gene_9 more than once"),
    "others": (network(("A", "B", 1)), ValueError, "genes of the fit, such as 'gene_0'.*: it has 1 edges of 'A'"),
    "itself": (network(("gene_3", "gene_3", 1)), ValueError, "has no values for the genes of the fit"),
    "empty": (network(), ValueError, "has no values for the genes of the fit"),
    "other effects": (pd.DataFrame([[1.0]], ["A"], ["B"]), ValueError, "it has 1 perturbations of 'A'"),
    "effect twice": (pd.DataFrame([[1.0], [2]], ["A", "A"], ["B"]), ValueError, "the perturbation 'A' more than once"),
    "no effects": (AnnData(shape=(1, 1)), ValueError, "prior has no X"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(regulated, unchanged, case):
    prior, error, sentence = WRONG[case]
    with unchanged(regulated), pytest.raises(error, match=sentence):
        dko.tl.fit(regulated, prior=prior, progress=False)


def test_with_a_prior_effects_are_total_ones_even_where_direct_ones_are_the_default():
    cells = dko.datasets.grn(100, 12, density=0.3, rng=1)
    dko.tl.fit(cells, max_epochs=30, progress=False, prior=network(("gene_1", "gene_2", 1)))
    assert cells.uns["dko"]["params"]["effects"] == "total"
