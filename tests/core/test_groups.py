"""Which cells a user means, by the names of groups or by booleans."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

import dko

from ..conftest import FUNCTIONS, call, copy_of

# In all cells but a few.
GENE = "gene_2"


def chosen(data: Any, groups, mod="rna"):
    """Cells in which a verb knocks the gene out, among those that express it."""
    found: Any = dko.tl.virtual_ko(data, GENE, groups=groups, profiles=False, mod=mod, copy=True)
    found = found if isinstance(found, AnnData) else found.mod[mod]
    return set(found.obs_names[found.obsm["dko_impact"][GENE].notna()])


def expressing(adata, mask):
    return set(adata.obs_names[mask & (adata[:, GENE].X.toarray().ravel() > 0)])


FIRST_TEN = np.arange(80) < 10


TYPES = ["int64", "category", "category of int", "float64", "Int64", "string", "object", "boolean", "bool"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("one", [1, np.int64(1), 1.0, [1], [np.int8(1)], ("1",)], ids=repr)
def test_groups_that_are_numbers(dtype, one, fitted):
    values = pd.Series(np.arange(80) // 40, index=fitted.obs_names)
    kind = {"category of int": "category"}.get(dtype, dtype)
    fitted.obs["leiden"] = (values.astype(str) if dtype in ("category", "string", "object") else values).astype(kind)
    if kind.startswith("bool"):
        one = [True] if isinstance(one, list | tuple) else True
    assert chosen(fitted, {"leiden": one}) == expressing(fitted, np.arange(80) >= 40)


def test_groups_of_the_fit_that_are_numbers(cells, quick):
    cells.obs["leiden"] = pd.Categorical(np.arange(80) % 3)
    dko.tl.fit(cells, groupby="leiden", **quick)
    assert chosen(cells, 0) == chosen(cells, "0") == chosen(cells, [0]) == expressing(cells, np.arange(80) % 3 == 0)
    assert chosen(cells, [0, 2]) == expressing(cells, np.arange(80) % 3 != 1)
    dko.tl.scan(cells)
    dko.tl.rank_genes(cells, groups=0, n_bootstraps=2)
    assert set(dko.get.ranking(cells)["group"]) == {"0"}


@given(mask=st.lists(st.booleans(), min_size=80, max_size=80), order=st.permutations(range(80)), extra=st.booleans())
def test_booleans_find_their_cells(mask, order, extra, _fitted):
    mask = np.array(mask)
    mask[:2] = True
    series = pd.Series(mask, index=_fitted.obs_names)
    shuffled = series.iloc[list(order)]
    if extra:
        shuffled = pd.concat([pd.Series([True], index=["of another sample"]), shuffled])
    of_names = [series, shuffled, shuffled.astype("boolean"), shuffled.astype(object)]
    for groups in (mask, list(mask), tuple(mask), *of_names):
        assert chosen(_fitted, groups) == expressing(_fitted, mask)


def two_modalities(mudata_of, adata, order):
    """Return a MuData whose own cells are in another order than those of the modality."""
    other = AnnData(np.ones((adata.n_obs, 2), dtype=np.float32), obs=pd.DataFrame(index=adata.obs_names[order]))
    return mudata_of(prot=other, rna=adata)


def test_booleans_of_a_mudata(fitted, mudata_of):
    mdata = two_modalities(mudata_of, fitted, np.arange(80)[::-1])
    in_order = pd.Series(FIRST_TEN, index=fitted.obs_names)
    assert chosen(mdata, in_order) == chosen(mdata, in_order[mdata.obs_names]) == expressing(fitted, FIRST_TEN)
    with pytest.raises(ValueError, match=r"in the order of the MuData's cells.*mdata\[mod\]\.obs"):
        chosen(mdata, FIRST_TEN)
    same = two_modalities(mudata_of, fitted, np.arange(80))
    assert chosen(same, FIRST_TEN) == expressing(fitted, FIRST_TEN)


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_repeated_names_of_cells(fitted):
    fitted.obs_names = [f"c{i % 50}" for i in range(80)]
    mask = pd.Series(FIRST_TEN, index=fitted.obs_names)
    found: Any = dko.tl.virtual_ko(fitted, GENE, groups=mask, profiles=False, copy=True)
    in_order: Any = dko.tl.virtual_ko(fitted, GENE, groups=FIRST_TEN, profiles=False, copy=True)
    pd.testing.assert_frame_equal(found.obsm["dko_impact"], in_order.obsm["dko_impact"])
    with pytest.raises(ValueError, match=r"obs_names_make_unique\(\)"):
        dko.tl.virtual_ko(fitted, GENE, groups=mask[::-1])


MASK = pd.Series(FIRST_TEN, index=[f"cell_{i}" for i in range(80)])


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (FIRST_TEN[:5], ValueError, "one boolean per cell"),
        (np.arange(5), ValueError, "one boolean per cell.*named by a list"),
        (np.ones((80, 1), dtype=bool), ValueError, "one boolean per cell"),
        (pd.DataFrame({"a": FIRST_TEN}), ValueError, "one boolean per cell"),
        (MASK[:70], ValueError, "lacks 10 of the 80 cells: 'cell_70'"),
        (pd.concat([MASK[::-1], MASK[:1]]), ValueError, "more than once"),
        (MASK.astype(object).where(~MASK, None), ValueError, "10 missing values"),
        ([], ValueError, "names no group"),
        ("C", KeyError, "No group 'C'"),
        ({"cell_typ": "B"}, KeyError, "Did you mean 'cell_type'"),
        ({("a", "b"): "B"}, TypeError, "named by one string"),
        (np.nan, KeyError, "how a missing value is spelled"),
        (3, KeyError, "No group '3'.*There are 'B'"),
    ],
)
def test_what_is_no_choice_of_cells(groups, error, message, grouped, unchanged):
    assert list(grouped.obs_names) == list(MASK.index)
    with unchanged(grouped), pytest.raises(error, match=message) as raised:
        dko.tl.virtual_ko(grouped, GENE, groups=groups)
    assert "\n" not in str(raised.value)


def test_cells_without_a_group_are_counted_however_that_is_spelled(fitted, capsys):
    fitted.obs["some"] = pd.Categorical([None, "nan", "T", "T"] * 20)
    dko.get.effects(fitted, GENE, groupby="some")
    assert "40 cells are in no group, as obs['some'] is missing or 'nan' there." in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["nan", "NaN", "None", "<NA>", ""])
def test_a_missing_value_that_is_spelled_out_is_no_group(spelling, cells, quick, caplog):
    cells.obs["kind"] = [spelling, "B", "T", "T"] * 20
    with caplog.at_level(logging.INFO, "dko"):
        dko.tl.fit(cells, groupby="kind", **quick)
    assert cells.uns["dko"]["groups"] == ["B", "T"]
    assert sum("20 cells are in no group" in message for message in caplog.messages) == 1
    assert cells.obs["dko_fit_error"].isna().tolist() == [True, False, False, False] * 20
    assert set(dko.get.effects(cells, GENE, groupby="kind").obs["group"]) == {"B", "T"}
    with pytest.raises(KeyError, match="how a missing value is spelled"):
        chosen(cells, spelling)


GROUPING = [name for name, of in FUNCTIONS.items() if {"adata", "groupby"} <= set(inspect.signature(of).parameters)]


@pytest.mark.parametrize("name", GROUPING)
@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        (["cell_type", "batch"], TypeError, "combine them first"),
        ("cell_typ", KeyError, "Did you mean 'cell_type'"),
        ("depth", ValueError, "measurements"),
        ("barcode", ValueError, "a name for every cell"),
    ],
)
def test_what_is_no_column_of_groups(name, by, error, message, finished, unchanged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished.obs["depth"] = np.asarray(finished.X.sum(axis=1)).ravel() / 7
    finished.obs["barcode"] = finished.obs_names
    with unchanged(finished), pytest.raises(error, match=message) as raised:
        call(name, finished, groupby=by)
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def _three(_cells, quick):
    """80 cells of three groups, 35 of A, 23 of B and 22 of C, with a model each."""
    adata = _cells.copy()
    adata.obs["kind"] = pd.Categorical(np.array(list("AABCBCA"))[np.arange(80) % 7])
    dko.tl.fit(adata, groupby="kind", **quick)
    return adata


three = copy_of("three")


def knock_out(adata, **kwargs):
    dko.tl.virtual_ko(adata, GENE, profiles=False, **kwargs)
    return adata.obsm["dko_impact"][GENE]


def renamed(adata, names):
    adata.obs["kind"] = adata.obs["kind"].astype(str).replace(names).astype("category")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"A": "B", "B": "A"}, r"58 of its 80 cells .*35 of 'A' are in 'B', 23 of 'B' are in 'A'"),
        ({"A": "B", "B": "C", "C": "A"}, r"80 of its 80 cells"),
        ({"C": "T"}, r"22 of its 80 cells .*22 of 'C' are in 'T'"),
        ({"A": "0", "B": "1", "C": "2"}, r"80 of its 80 cells .*35 of 'A' are in '0'"),
        ({"A": "B", "C": "B"}, r"57 of its 80 cells"),
    ],
    ids=["swapped", "clustered anew", "one renamed", "all renamed", "merged"],
)
def test_other_groups_are_refused(names, message, three, unchanged):
    renamed(three, names)
    for name in ("tl.scan", "tl.virtual_ko", "tl.double_ko", "tl.dose_response", "get.effects", "get.profiles"):
        with unchanged(three), pytest.raises(ValueError, match=message) as raised:
            call(name, three)
        assert "\n" not in str(raised.value)
        assert "give the groups their old names back, or fit again" in str(raised.value)


@pytest.mark.parametrize("new", ["B", "doublet"])
def test_cells_corrected_by_hand_are_warned_of(new, three, caplog):
    kind = three.obs["kind"].astype(str)
    moved = np.flatnonzero(kind == "A")[:4]
    kind.iloc[moved] = new
    three.obs["kind"] = kind.astype("category")
    impacts = knock_out(three)
    assert caplog.messages == [
        "4 of 80 cells of the fit have another group in obs['kind'] than at the fit; the model of their "
        "present group is used, if there is one."
    ]
    assert impacts.iloc[moved].isna().all() == (new == "doublet")


@given(
    kept=st.lists(st.integers(0, 79), min_size=10, max_size=80, unique=True),
    extra=st.booleans(),
    swap=st.booleans(),
    stored=st.sampled_from(["category", "object", "string"]),
)
def test_any_part_of_the_cells_in_any_order(kept, extra, swap, stored, _three):
    adata = _three[kept].copy()
    if extra:
        other = _three[:10].copy()
        other.obs_names = [f"new_{name}" for name in other.obs_names]
        adata = ad.concat([other, adata])
        adata.uns["dko"] = _three.uns["dko"]
    if swap:
        renamed(adata, {"A": "B", "B": "C", "C": "A"})
    adata.obs["kind"] = adata.obs["kind"].astype(stored)
    if swap:
        with pytest.raises(ValueError, match=f"{len(kept)} of its {len(kept)} cells are in another"):
            knock_out(adata)
    else:
        found, before = knock_out(adata).to_numpy()[-len(kept) :], knock_out(_three.copy()).to_numpy()[kept]
        np.testing.assert_allclose(found, before, rtol=1e-5)


def test_cells_without_a_model_are_counted_by_group(three, caplog):
    kind = three.obs["kind"].astype(object)
    kind.iloc[:3] = None
    kind.iloc[3] = "nan"
    three.obs["kind"] = kind
    other = three[:2].copy()
    other.obs_names, other.obs["kind"] = ["x", "y"], "new"
    both = ad.concat([three, other])
    both.uns["dko"] = three.uns["dko"]
    with caplog.at_level(logging.INFO, "dko"):
        knock_out(both)
    assert "Left out, without a model: 6 cells (4 without a group, 2 of 'new')." in caplog.messages
    caplog.clear()
    with caplog.at_level(logging.INFO, "dko"):
        knock_out(both, groups="A")
    assert not any("Left out" in message for message in caplog.messages)


def test_models_of_files_and_of_earlier_versions_know_of_no_cells(three, tmp_path):
    dko.io.save(three, tmp_path / "model.npz")
    del three.uns["dko"]["cells"]
    renamed(three, {"A": "B", "B": "A"})
    knock_out(three)
    dko.io.load(three, tmp_path / "model.npz")
    knock_out(three)
    del three.uns["dko"]["cells"]
    renamed(three, {"A": "0", "B": "1", "C": "2"})
    with pytest.raises(ValueError, match=r"No cell has the name of a group of the fit \('A', 'B', 'C'\).*has '0', '1'"):
        knock_out(three)


def test_groups_that_change_after_a_model_was_loaded(three, tmp_path):
    dko.io.save(three, tmp_path / "model.npz")
    dko.io.load(three, tmp_path / "model.npz")
    renamed(three, {"A": "B", "B": "A"})
    with pytest.raises(ValueError, match="does not hold the groups of the fit any more"):
        knock_out(three)


def test_names_that_another_sample_shares_by_chance(three):
    other = three.copy()
    other.obs_names = [*three.obs_names[:20], *(f"other {number}" for number in range(60))]
    renamed(other, {"A": "B", "B": "A"})
    assert knock_out(other).notna().any()
