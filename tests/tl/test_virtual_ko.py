from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.dko import reference as naive


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


@pytest.mark.parametrize("dose", [1.0, 0.4])
@pytest.mark.parametrize(
    ("genes", "labels"),
    [
        ("HSPA1A/B", ["HSPA1A/B"]),
        (["gene_2", "gene_3"], ["gene_2", "gene_3"]),
        (("gene_3", "gene_2"), ["gene_2+gene_3"]),
        ([("gene_7", "HSPA1A/B", "gene_4"), "gene_9"], ["HSPA1A/B+gene_4+gene_7", "gene_9"]),
        ([("gene_5", "gene_5")], ["gene_5"]),
        (np.array(["gene_2", "gene_3"]), ["gene_2", "gene_3"]),
    ],
)
def test_equals_the_formula_of_the_paper(fitted, layers_of, genes, labels, dose):
    dko.tl.virtual_ko(fitted, genes, dose=dose)
    assert list(dko.get.impact(fitted).columns) == labels
    for label in labels:
        check(fitted, label, layers_of(fitted), dose=dose)


@given(
    picks=st.lists(st.lists(st.integers(2, 19), min_size=1, max_size=4, unique=True), min_size=1, max_size=4),
    dose=st.sampled_from([1.0, 0.75, 0.1]),
    budget=st.sampled_from([1, 2_000, 2**28]),
    batch_size=st.sampled_from([None, 1, 7]),
)
def test_any_sets_doses_budgets_and_batches(_fitted, layers_of, picks, dose, budget, batch_size):
    sets = [tuple(f"gene_{i}" for i in pick) for pick in picks]
    with dko.settings.override(memory_budget=budget):
        adata = dko.tl.virtual_ko(_fitted, sets, dose=dose, batch_size=batch_size, copy=True)
    for members in sets:
        check(adata, "+".join(sorted(members)), layers_of(adata), dose=dose)


def test_every_group_has_its_own_model(grouped, layers_of):
    dko.tl.virtual_ko(grouped, ["gene_2", ("gene_3", "gene_4")])
    for number, group in enumerate(grouped.uns["dko"]["groups"]):
        rows = np.flatnonzero(grouped.obs["cell_type"] == group)
        assert len(rows) == 40
        for label in ("gene_2", "gene_3+gene_4"):
            check(grouped, label, layers_of(grouped, number), rows=rows)


def test_what_is_written(fitted):
    dko.tl.virtual_ko(fitted, ["HSPA1A/B", ("gene_2", "gene_3")])
    frame, layer = fitted.obsm["dko_impact"], fitted.layers["dko_ko_HSPA1A%2FB"]
    assert frame.columns.tolist() == ["HSPA1A%2FB", "gene_2+gene_3"]
    assert (frame.dtypes == np.float32).all()
    assert (frame.index == fitted.obs_names).all()
    assert layer.format == "csr" and layer.dtype == np.float32 and layer.has_sorted_indices
    assert (layer.data > 0).all()
    table = fitted.uns["dko"]["knockouts"]
    assert table["label"].tolist() == ["HSPA1A/B", "gene_2+gene_3"]
    assert table["dose"].tolist() == [1.0, 1.0]
    assert table["n_cells"].tolist() == frame.notna().sum().tolist()


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


@pytest.mark.parametrize(
    "groups",
    [
        "B",
        ["B"],
        {"cell_type": "B"},
        {"cell_type": ["B"], "half": ["yes", "no"]},
        lambda adata: (adata.obs["cell_type"] == "B").to_numpy(),
        lambda adata: adata.obs["cell_type"] == "B",
    ],
    ids=["name", "list", "mapping", "two columns", "array", "series"],
)
def test_groups(grouped, groups):
    grouped.obs["half"] = np.where(np.arange(80) < 40, "yes", "no")
    everywhere = grouped.copy()
    dko.tl.virtual_ko(everywhere, "gene_2")
    dko.tl.virtual_ko(grouped, "gene_2", groups=groups(grouped) if callable(groups) else groups)
    inside = (grouped.obs["cell_type"] == "B").to_numpy()
    impact = dko.get.impact(grouped)["gene_2"].to_numpy()
    np.testing.assert_array_equal(impact[inside], dko.get.impact(everywhere)["gene_2"].to_numpy()[inside])
    assert np.isnan(impact[~inside]).all()
    layer = grouped.layers["dko_ko_gene_2"]
    assert layer[~inside].nnz == 0
    np.testing.assert_array_equal(layer[inside].toarray(), everywhere.layers["dko_ko_gene_2"][inside].toarray())
    assert grouped.uns["dko"]["knockouts"]["n_cells"].tolist() == [np.isfinite(impact).sum()]


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


def test_a_stale_profile_leaves_a_view_without_a_warning(fitted):
    dko.tl.virtual_ko(fitted, "gene_5")
    view = fitted[:40]
    dko.tl.virtual_ko(view, "gene_5", profiles=False)
    assert "dko_ko_gene_5" not in view.layers and "dko_ko_gene_5" in fitted.layers
