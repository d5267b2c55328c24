"""Names of genes, groups and keys that files have a meaning of their own for."""

from __future__ import annotations

import inspect
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dko

from ..conftest import FUNCTIONS, call

NASTY = ["A\\B", ".", "..", "...", "_index", "__x", " a ", "a/b", "%2F", "%", "\t", "a\nb", "\x7f", ".zarray"]
# What anndata itself cannot write, as the name of a gene: zeros, and halves of characters.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=10)
NAMES = st.lists(st.one_of(st.sampled_from(NASTY), TEXT), min_size=4, max_size=4, unique=True)
NAMES = NAMES.filter(lambda names: not {"nan", "NaN", "None", "<NA>"} & set(names))


def written(adata, folder, kind):
    path = folder / f"{kind}.store"
    if kind == "h5ad":
        adata.write_h5ad(path)
        return ad.read_h5ad(path)
    with warnings.catch_warnings():
        # Of what the next versions of zarr and anndata will do.
        warnings.simplefilter("ignore")
        with ad.settings.override(zarr_write_format=int(kind[-1])):
            adata.write_zarr(path)
    return ad.read_zarr(path)


def knocked_out(cells, names):
    """Cells with results in every kind of place that a name becomes a part of."""
    adata = cells.copy()
    a, b, one, other = names
    adata.var_names = [a, b, *adata.var_names[2:]]
    adata.obs["kind"] = pd.Categorical([one, other] * 40)
    # Names that columns may have as well.
    adata.var_names.name, adata.obs_names.name = "gene", "cell"
    dko.tl.fit(adata, groupby="kind", max_steps=2, effects="direct", progress=False)
    dko.tl.virtual_ko(adata, [a, b, (a, b)])
    dko.tl.scan(adata)
    dko.tl.rank_genes(adata, n_bootstraps=2, min_cells=1)
    dko.tl.identity_shift(adata, [a, b], groupby="kind", n_neighbors=3, n_pcs=2)
    return adata


def check(cells, names, folder, kinds):
    adata = knocked_out(cells, names)
    impact, label = dko.get.impact(adata, names[:2]), "+".join(sorted(names[:2]))
    for kind in kinds:
        back = written(adata, folder, kind)
        found = dko.get.impact(back, names[:2])
        pd.testing.assert_frame_equal(found, impact, check_names=False, check_column_type=False)
        assert dko.get.impact(back, [tuple(names[:2])]).columns.tolist() == [label]
        assert set(dko.get.ranking(back)["group"]) == set(names[2:]) == set(dko.get.identity(back)["group"])
        dko.tl.scan(back, groups=names[2])
        for one, of in ((names[0], adata), (names[1], back)):
            assert dko.pl.profile(of, one, groups={"kind": names[2]}, return_fig=True) is not None


@pytest.mark.parametrize("kind", ["h5ad", "zarr2"])
@pytest.mark.parametrize("names", [["A\\B", ".", "..", "_index"], ["__x", "cell", "gene", " a "]])
def test_files_keep_names_that_they_have_a_meaning_for(kind, names, cells, tmp_path):
    check(cells, names, tmp_path, [kind])


@pytest.mark.slow
@given(names=NAMES)
@settings(max_examples=100)
def test_files_keep_any_of_many_names(names, _cells, tmp_path_factory):
    check(_cells, names, tmp_path_factory.mktemp("names"), ["h5ad", "zarr2", "zarr3"])


KEYS = ["", "a/b", "a\\b", ".", "..", "_index", "__x", " a", "a ", "a\nb", "x" * 200, "zarr.json"]


KEYED = [name for name, of in FUNCTIONS.items() if {"adata", "key_added"} <= set(inspect.signature(of).parameters)]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_that_files_cannot_hold_are_refused(key, finished, unchanged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dko.io.save(finished, "model.npz")
    for name in KEYED:
        with unchanged(finished), pytest.raises(ValueError, match="key_added=.* must be a name without '/'") as raised:
            call(name, finished, key_added=key)
        assert "\n" not in str(raised.value)


def test_nothing_is_lost_of_a_file_of_an_earlier_version(fitted):
    columns = ["a%2Fb", "50%25_%252F", "."]
    fitted.obsm["dko_impact"] = pd.DataFrame(np.ones((80, 3)), fitted.obs_names, columns)
    assert dko.get.impact(fitted).columns.tolist() == ["a/b", "50%_%2F", "."]
