from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import dko

from .. import paper as naive

PICKED = st.sampled_from([*range(2, 20), 0])


def expected(adata, members, layers, dose=1.0):
    """Impact (NaN where no gene is expressed) and profiles of every cell by the naive formula."""
    presence = (sparse.csr_matrix(adata.X).toarray() > 0).astype(float)
    genes = adata.var_names.get_indexer(members)
    after = np.array([naive.profile(layers, naive.knocked_out(z, genes, dose)) for z in presence])
    impact = np.array([naive.impact(layers, z, genes, dose) if z.any() else np.nan for z in presence])
    return np.where(presence[:, genes].any(axis=1), impact, np.nan), after


def check(adata, label, layers, *, dose=1.0, rows=slice(None)):
    impact, after = expected(adata, label.split("+"), layers, dose)
    np.testing.assert_allclose(dko.get.impact(adata, label)[label].to_numpy()[rows], impact[rows], atol=1e-5)
    layer = adata.layers[f"dko_ko_{label.replace('%', '%25').replace('/', '%2F')}"]
    np.testing.assert_allclose(layer.toarray()[rows], after[rows], atol=1e-5)


@given(
    picks=st.lists(st.lists(PICKED, min_size=1, max_size=4, unique=True), min_size=1, max_size=4),
    dose=st.sampled_from([1.0, 0.75, 0.1]),
    budget=st.sampled_from([1, 2_000, 2**28]),
    batch_size=st.sampled_from([None, 1, 7]),
)
def test_any_sets_doses_budgets_and_batches(_fitted, layers_of, picks, dose, budget, batch_size):
    sets = [tuple(_fitted.var_names[pick]) for pick in picks]
    with dko.settings.override(memory_budget=budget):
        adata = dko.tl.virtual_ko(_fitted, sets, dose=dose, batch_size=batch_size, copy=True)
    for members in sets:
        check(adata, "+".join(sorted(members)), layers_of(adata), dose=dose)


def test_rows_sum_to_one_and_the_gene_is_gone(fitted):
    dko.tl.virtual_ko(fitted, "gene_2")
    layer = fitted.layers["dko_ko_gene_2"]
    np.testing.assert_allclose(layer.sum(axis=1), 1, atol=1e-5)
    assert layer[:, fitted.var_names.get_loc("gene_2")].nnz == 0
    without = (fitted[:, "gene_2"].X.toarray() == 0).ravel()
    predicted = dko.get.profiles(fitted).layers["predicted"]
    np.testing.assert_allclose(layer[without].toarray(), predicted[without].toarray(), atol=1e-6)
    assert dko.get.impact(fitted)["gene_2"].isna().to_numpy().tolist() == without.tolist()


def test_a_cell_with_one_gene_left_and_a_cell_with_none(fitted, layers_of):
    counts = fitted.X.toarray()
    counts[:2] = 0
    counts[0, fitted.var_names.get_loc("gene_2")] = 5
    fitted.X = counts
    dko.tl.virtual_ko(fitted, ["gene_2", "gene_3", ("gene_2", "gene_3")])
    impact = dko.get.impact(fitted)
    np.testing.assert_array_equal(impact.iloc[0], [1, np.nan, 1])
    assert impact.iloc[1].isna().all()
    profiles = [fitted.layers[f"dko_ko_{label}"][:2].toarray() for label in ("gene_2", "gene_3")]
    assert not profiles[0].any()
    assert profiles[1].sum() == pytest.approx(1, abs=1e-6)
    check(fitted, "gene_3", layers_of(fitted), rows=slice(2, None))


def test_later_calls_add_to_earlier_ones_and_replace_the_same(fitted):
    dko.tl.virtual_ko(fitted, ["gene_2", "gene_3"])
    before = dko.get.impact(fitted)
    dko.tl.virtual_ko(fitted, ["gene_3", "gene_4"], dose=0.5)
    after = dko.get.impact(fitted)
    assert after.columns.tolist() == ["gene_2", "gene_3", "gene_4"]
    np.testing.assert_array_equal(after["gene_2"], before["gene_2"])
    assert (after["gene_3"] < before["gene_3"]).sum() == before["gene_3"].notna().sum()
    table = fitted.uns["dko"]["knockouts"].set_index("label")
    assert table["dose"].to_dict() == {"gene_2": 1.0, "gene_3": 0.5, "gene_4": 0.5}


def test_too_many_profiles_are_refused_before_the_work(fitted, monkeypatch, unchanged):
    monkeypatch.setattr(dko.settings, "result_budget", 1000)
    with unchanged(fitted), pytest.raises(ValueError, match="profiles of 2 knockouts.*profiles=False"):
        dko.tl.virtual_ko(fitted, ["gene_2", "gene_3"])
    dko.tl.virtual_ko(fitted, ["gene_2", "gene_3"], profiles=False)


def test_more_columns_than_a_file_can_take_are_refused(fitted, monkeypatch, unchanged):
    monkeypatch.setattr("dko._core.keys.MAX_FRAME_COLUMNS", 2)
    dko.tl.virtual_ko(fitted, ["gene_2", "gene_3"])
    with unchanged(fitted), pytest.raises(ValueError, match="more than 2 knockouts.*dko.tl.scan"):
        dko.tl.virtual_ko(fitted, "gene_4")
    dko.tl.virtual_ko(fitted, "gene_3")


def test_a_profile_of_an_earlier_call_does_not_stand_beside_a_new_impact(fitted):
    dko.tl.virtual_ko(fitted, "gene_5", dose=0.2)
    dko.tl.virtual_ko(fitted, "gene_5", profiles=False)
    assert "dko_ko_gene_5" not in fitted.layers


def test_a_label_stands_for_one_knockout(cells, quick):
    cells.var_names = ["gene_5+gene_6", *cells.var_names[1:]]
    dko.tl.fit(cells, **quick)
    with pytest.raises(ValueError, match="also the name of a gene, 'gene_5.gene_6'; rename"):
        dko.tl.virtual_ko(cells, ["gene_5+gene_6", ("gene_5", "gene_6")])
