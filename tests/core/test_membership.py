"""Groups of cells that are no longer those of the fit: refused, warned of, or counted, by name."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dko

from ..conftest import call, copy_of

GENE = "gene_2"


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
    assert "6 cells have no model and are left out (4 without a group, 2 of 'new')." in caplog.messages
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
