"""On which scale values are: what is decided, what is doubted, and what is noticed after a fit."""

from __future__ import annotations

import math
import os
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko._core.cells import Source, sample_rows
from dko._core.evidence import recovered
from dko._core.scale import CERTAIN, scale_of

QUICK: dict[str, Any] = {"max_epochs": 2, "effects": "total", "progress": False}
# DKO_TEST_SCALES=5000 is the full count.
N_EXAMPLES = int(os.environ.get("DKO_TEST_SCALES", "60"))


def counts_of(seed=0, n_cells=80, n_genes=60, mean=2.0):
    """Counts of cells of many depths and genes of many levels."""
    rng = np.random.default_rng(seed)
    rate = mean * rng.gamma(0.5, 2, n_genes) * rng.lognormal(0, 0.4, (n_cells, 1))
    counts = rng.poisson(rate).astype(np.float32)
    counts[counts.sum(axis=1) == 0, 0] = 1
    return counts


def corrected(counts, seed=1):
    return (counts * np.random.default_rng(seed).uniform(0.8, 1, counts.shape)).astype(np.float32)


def logged(values, base=math.e):
    return (np.log1p(values.astype(np.float64)) / np.log(base)).astype(np.float32)


def normalised(counts, target):
    totals = counts.sum(axis=1, keepdims=True)
    return (counts * (np.median(totals) if target is None else target) / totals).astype(np.float32)


def decided(x, log1p=None, mark=None, **layers):
    adata = AnnData(x, layers=layers)
    if mark is not None:
        adata.uns["log1p"] = {"base": mark}
    return scale_of(Source(adata), log1p)


KINDS = {
    "CSR": sparse.csr_matrix,
    "CSC": sparse.csc_matrix,
    "dense": np.asarray,
    "float64": lambda x: x.astype(np.float64),
    "dask": lambda x: da.from_array(x, chunks=(50, 20)),
}


@settings(max_examples=N_EXAMPLES)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 300), st.integers(2, 60)),
    mean=st.sampled_from([0.3, 2, 20]),
    target=st.sampled_from(["raw", None, 1.0, 1e4, 1e6]),
    base=st.sampled_from([None, math.e, 2.0, 10.0]),
    subset=st.booleans(),
    mark=st.sampled_from([None, math.e, 2.0]),
    kind=st.sampled_from(list(KINDS)),
)
def test_scales_are_decided_or_doubted_and_counts_recovered(seed, size, mean, target, base, subset, mark, kind):
    counts = counts_of(seed, size[0], size[1], mean)
    linear = counts if target == "raw" else normalised(counts, target)
    if subset:
        linear, counts = linear[:, ::3], counts[:, ::3]
    x = linear if base is None else logged(linear, base)
    scale = decided(KINDS[kind](x), mark=mark)
    if scale.trust != CERTAIN:
        return
    whole = bool((x == np.rint(x)).all())
    assert (scale.kind, scale.base) == (("counts", None) if whole else ("linear" if base is None else "log1p", base))
    values = sparse.csr_matrix(x)
    scale.to_linear(values)
    found, known = recovered(values)
    if not whole:  # whole numbers are counts as they are
        shares, expected = (x / np.maximum(x.sum(axis=1, keepdims=True), 1) for x in (found.toarray(), counts))
        wrong = known & ~np.isclose(shares, expected, rtol=1e-4).all(axis=1)
        assert wrong.mean() <= 0.02 or wrong.sum() <= 1


@pytest.mark.parametrize("base", [None, math.e, 2.0, 10.0])
def test_counts_tell_the_scale_whatever_the_mark_says(base):
    linear = normalised(counts_of(), 300)
    x = linear / 10 if base is None else logged(linear, base)
    for mark in (None, math.e, 2.0):
        scale = decided(x, mark=mark)
        assert (scale.trust, scale.base) == (CERTAIN, base)


def test_counts_are_recovered_where_no_gene_was_counted_once():
    counts = np.maximum(counts_of(mean=40), 2)
    counts[:, 0] = 37
    found, known = recovered(sparse.csr_matrix(normalised(counts, 1e4)))
    assert known.all()
    np.testing.assert_array_equal(found.toarray(), counts)


def test_a_mark_of_another_layer():
    x = corrected(np.minimum(counts_of(), 20))
    assert decided(x, mark=math.e, lognorm=logged(x)).kind == "linear"
    assert decided(logged(x), corrected=x).base == math.e
    assert decided(logged(normalised(x, 1e4)), soupx=x).trust == CERTAIN


def test_sums_tell_where_there_are_no_counts():
    x = normalised(corrected(counts_of()), 100)
    assert (decided(x / 10).kind, decided(x / 10).trust) == ("linear", CERTAIN)
    assert (decided(logged(x, 2)).base, decided(logged(x, 2)).trust) == (2, CERTAIN)


def test_what_cannot_be_told_is_doubted_alike_by_both_models(caplog):
    from dko._core.scale import read_expression

    linear = normalised(corrected(counts_of(mean=8)), 1e4)[:, 3:]
    for x, kind in ((logged(linear), "log1p"), (corrected(np.minimum(counts_of(), 25)), "linear")):
        adata = AnnData(x)
        caplog.clear()
        assert read_expression(Source(adata), None).scale == read_expression(Source(adata), None, linear=False).scale
        assert caplog.text.count("not certain") == 2 and "log1p=True" in caplog.text
        assert scale_of(Source(adata), None).kind == kind


def test_cells_on_two_scales_are_refused():
    linear = normalised(counts_of(), 300)
    x = np.concatenate([linear[:40] / 10, logged(linear[40:])])
    with pytest.raises(ValueError, match="cells of X are not on one scale: 49% hold linear values, 50%"):
        decided(x)


def test_counts_beside_logarithms_are_refused_however_large_they_are():
    counts = counts_of(mean=20)
    first, others = counts[:40], normalised(counts[40:], 1e4)
    assert first.max() > 30 and decided(np.concatenate([first, others])).kind == "linear"
    with pytest.raises(ValueError, match="50% hold linear values, .* hold logarithms of base e"):
        decided(np.concatenate([first, logged(others)]))


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_rounded_logarithms_are_no_counts(decimals):
    x = logged(normalised(counts_of(mean=8), 1e4)).round(decimals)
    assert decided(x, mark=math.e).base == math.e


@pytest.mark.parametrize("base", ["e", 0, 1, -2.0, math.nan, math.inf, [2]])
def test_a_mark_of_no_base_is_one_of_base_e(base):
    linear = corrected(np.minimum(counts_of(), 20))
    assert decided(logged(linear), mark=base).base == math.e


def test_sums_over_all_genes_of_raw_tell_the_scale_of_the_variable_ones():
    adata = AnnData(logged(normalised(corrected(counts_of()), 1e4)))
    adata.raw = adata
    adata = adata[:, 10:40].copy()
    for use_raw in (False, True):
        scale = scale_of(Source(adata, use_raw=use_raw), None)
        assert (scale.base, scale.trust) == (math.e, CERTAIN)
    adata.X = adata.X / 2
    assert scale_of(Source(adata), None).trust != CERTAIN


def test_what_the_user_says_wins_and_is_contradicted(caplog):
    x = logged(normalised(counts_of(), 1e4))
    assert decided(x, log1p=False).kind == "linear"
    assert "log1p=False, but the values of X look like log1p: their exponentials" in caplog.text
    with pytest.raises(ValueError, match="log1p=True, but X holds whole numbers"):
        decided(counts_of(), log1p=True)
    with pytest.raises(ValueError, match="cannot be logarithms .*: the largest"):
        decided(normalised(counts_of(), 1e4), log1p=True)


@pytest.mark.parametrize("x", [np.zeros((3, 2)), np.eye(3), np.ones((1, 1)), np.array([[0, 0.5]])])
def test_tiny_data_are_decided_somehow(x):
    assert decided(x.astype(np.float32)).kind in ("counts", "linear")


def test_a_better_layer_is_named(capsys):
    counts = counts_of()
    adata = AnnData(logged(normalised(counts, 1e4)), layers={"counts": counts})
    dko.tl.fit(adata, **QUICK)
    assert "layers['counts'] holds counts: layer='counts' uses them." in capsys.readouterr().err
    adata.X = adata.X - 1
    with pytest.raises(ValueError, match=r"negative value \(scaled data\?\); layers\['counts'\] holds counts, take"):
        dko.tl.fit(adata, **QUICK)


def test_logs_that_lost_their_mark_give_the_same_impacts():
    adata = AnnData(sparse.csr_matrix(counts_of(n_cells=100)))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    joined = ad.concat([adata[:50], adata[50:]])
    joined.obs_names_make_unique()
    for data in (adata, joined):
        dko.tl.fit(data, **QUICK)
        dko.tl.scan(data)
    assert "log1p" not in joined.uns
    np.testing.assert_array_equal(joined.layers["dko_impact"].toarray(), adata.layers["dko_impact"].toarray())


@pytest.mark.parametrize("base", [math.e, 2.0])
def test_logarithms_taken_after_the_fit_are_noticed(base, capsys):
    counts = counts_of()
    adata = AnnData(sparse.csr_matrix(counts))
    dko.tl.fit(adata, **QUICK)
    dko.tl.scan(adata)
    before = adata.layers["dko_impact"].toarray()
    adata.X = sparse.csr_matrix(logged(normalised(counts, 1e4), base))
    capsys.readouterr()
    for _ in range(2):
        dko.tl.scan(adata)
    assert capsys.readouterr().err.count("and held counts at the fit; the values are converted") == 1
    np.testing.assert_allclose(adata.layers["dko_impact"].toarray(), before, atol=1e-5)


def test_values_that_changed_beyond_knowing_are_refused():
    counts = counts_of()
    adata = AnnData(sparse.csr_matrix(counts))
    dko.tl.fit(adata, **QUICK)
    adata.X = sparse.csr_matrix(logged(corrected(counts)))
    with pytest.raises(ValueError, match="X held counts at the fit, and what it holds now is not certain"):
        dko.tl.scan(adata)


def test_the_sample_of_cells_is_small_and_always_the_same():
    for n in (1, 256, 257, 300, 5000, 100_000):
        rows = sample_rows(n)
        assert len(np.unique(rows)) == min(n, 256) and rows[-1] < n and (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, sample_rows(n))
