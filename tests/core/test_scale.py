"""On which scale values are: what is decided, what is doubted, and what is noticed after a fit."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

import dko

QUICK: dict[str, Any] = {"max_steps": 1, "effects": "direct", "progress": False}
SCCVAE: dict[str, Any] = {"model": "sccvae", "perturbation_key": "guide", "control": "control", "max_steps": 1}
SCCVAE |= {"n_latent": 2, "hidden": (4,), "n_members": 1, "min_cells": 5, "progress": False}
# DKO_TEST_SCALES=5000 is the full count.
N_EXAMPLES = int(os.environ.get("DKO_TEST_SCALES", "40"))


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


def taken(adata, of=QUICK, **how):
    """What a fit takes the values of X for."""
    dko.tl.fit(adata, **of, **how)
    params = adata.uns["dko"]["params"]
    return SimpleNamespace(kind=params["values"], base=params.get("log_base"), trust=params["scale"])


def decided(x, log1p=None, mark=None, **layers):
    """The same of a matrix, perhaps with a mark of logarithms."""
    return taken(AnnData(x, layers=layers, uns={} if mark is None else {"log1p": {"base": mark}}), log1p=log1p)


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
    size=st.tuples(st.integers(10, 300), st.integers(9, 60)),
    mean=st.sampled_from([0.3, 2, 20]),
    target=st.sampled_from(["raw", None, 1.0, 1e4, 1e6]),
    base=st.sampled_from([None, math.e, 2.0, 10.0]),
    subset=st.booleans(),
    mark=st.sampled_from([None, math.e, 2.0]),
    kind=st.sampled_from(list(KINDS)),
)
def test_scales_are_decided_or_doubted(seed, size, mean, target, base, subset, mark, kind):
    counts = counts_of(seed, size[0], size[1], mean)
    linear = counts if target == "raw" else normalised(counts, target)
    if subset:
        linear = linear[:, ::3]
    linear = linear[(linear > 0).any(axis=1)]
    assume(len(linear) >= 5 and (linear > 0).any(axis=0).sum() >= 2)
    x = linear if base is None else logged(linear, base)
    scale = decided(KINDS[kind](x), mark=mark)
    if scale.trust != "certain":
        return
    whole = bool((x == np.rint(x)).all())
    assert (scale.kind, scale.base) == (("counts", None) if whole else ("linear" if base is None else "log1p", base))


def test_a_mark_of_another_layer():
    """Where the values are too large for logarithms."""
    x = corrected(np.minimum(counts_of(), 20))
    assert decided(x, mark=math.e, lognorm=logged(x)).kind == "linear"


def test_what_is_not_certain_is_said_alike_by_both_models(caplog):
    linear = normalised(corrected(counts_of(mean=8)), 1e4)[:, 3:]
    for x, kind in ((logged(linear), "log1p"), (corrected(np.minimum(counts_of(), 25)), "linear")):
        adata = AnnData(x)
        adata.obs["guide"] = ["control"] * 40 + ["1"] * 20 + ["2"] * 20
        caplog.clear()
        assert taken(adata).kind == taken(adata, SCCVAE).kind == kind
        assert caplog.text.count("not certain") == 2 and "log1p=True" in caplog.text


def test_cells_on_two_scales_are_refused():
    linear = normalised(counts_of(), 300)
    x = np.concatenate([linear[:40] / 10, logged(linear[40:])])
    with pytest.raises(ValueError, match="cells of X are not on one scale: 50% hold linear values, 50%"):
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
    assert decided(logged(corrected(np.minimum(counts_of(), 20))), mark=base).base == math.e


def test_what_the_user_says_wins_and_is_contradicted(caplog):
    x = logged(normalised(counts_of(), 1e4))
    assert decided(x, log1p=False).kind == "linear"
    assert "log1p=False, but their exponentials (base e) are counts times one factor" in caplog.text
    with pytest.raises(ValueError, match="log1p=True, but X holds whole numbers"):
        decided(counts_of(), log1p=True)
    with pytest.raises(ValueError, match="cannot be logarithms .*: the largest"):
        decided(normalised(counts_of(), 1e4), log1p=True)


def test_a_better_layer_is_named(capsys):
    counts = counts_of()
    adata = AnnData(logged(normalised(counts, 1e4)), layers={"counts": counts})
    dko.tl.fit(adata, **QUICK)
    assert "layers['counts'] holds counts: layer='counts' uses them." in capsys.readouterr().err
    adata.X = adata.X - 1
    with pytest.raises(ValueError, match=r"negative value \(scaled data\?\); layers\['counts'\] holds counts; use"):
        dko.tl.fit(adata, **QUICK)


def scanned(adata):
    """Impacts of a fit of total effects, as an array."""
    dko.tl.fit(adata, max_epochs=2, effects="total", progress=False)
    return again(adata)


def again(adata):
    dko.tl.scan(adata)
    return adata.layers["dko_impact"].toarray()


def counted():
    return AnnData(sparse.csr_matrix(counts_of()))


def test_logs_that_lost_their_mark_give_the_same_impacts():
    adata = counted()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    joined = ad.concat([adata[:50], adata[50:]])
    assert "log1p" not in joined.uns
    np.testing.assert_array_equal(scanned(joined), scanned(adata))


@pytest.mark.parametrize("base", [None, 2])
def test_logarithms_give_what_linear_values_give(base, capsys):
    adata = counted()
    sc.pp.normalize_total(adata, target_sum=1e3)
    expected = scanned(adata.copy())
    assert "Values of X: taken as normalised values, not logarithms" in capsys.readouterr().err
    sc.pp.log1p(adata, base=base)
    np.testing.assert_allclose(scanned(adata), expected, atol=1e-5)
    assert "Values of X: taken as log1p" in capsys.readouterr().err and adata.uns["dko"]["params"]["log1p"] is True
    del adata.uns["log1p"]  # the base is remembered
    np.testing.assert_allclose(again(adata), expected, atol=1e-5)


@pytest.mark.parametrize("base", [math.e, 2.0])
def test_logarithms_taken_after_the_fit_are_noticed(base, capsys):
    adata = counted()
    before = scanned(adata)
    adata.X = sparse.csr_matrix(logged(normalised(counts_of(), 1e4), base))
    capsys.readouterr()
    for _ in range(2):
        np.testing.assert_allclose(again(adata), before, atol=1e-5)
    assert capsys.readouterr().err.count("and held counts at the fit; the values are converted") == 1


def test_values_that_changed_beyond_knowing_are_refused():
    adata = counted()
    scanned(adata)
    adata.X = sparse.csr_matrix(logged(corrected(counts_of())))
    with pytest.raises(ValueError, match="X held counts at the fit, and what it holds now is not certain"):
        dko.tl.scan(adata)


@pytest.fixture
def guides():
    adata = AnnData(sparse.csr_matrix(counts_of(n_cells=60, n_genes=12, mean=4)))
    adata.obs["guide"] = ["control"] * 30 + ["1"] * 15 + ["2"] * 15
    return adata


def shares(adata):
    return normalised(adata.X.toarray(), 50)


def test_counts_have_to_be_normalised(guides, capsys):
    with pytest.raises(ValueError, match="X holds counts, .*: pass normalize=True, or call sc.pp.normalize_total"):
        taken(guides, SCCVAE)
    assert taken(guides, SCCVAE, normalize=True).kind == "counts"
    assert "Values of X: taken as counts." in capsys.readouterr().err
    guides.X = sparse.csr_matrix(shares(guides))
    with pytest.raises(ValueError, match="X holds other values"):
        taken(guides, SCCVAE, normalize=True)


@pytest.mark.parametrize("base", [None, math.e, 2.0, 10.0])
@pytest.mark.parametrize("kind", ["counts", "linear", "log1p"])
def test_values_are_put_on_the_scale_of_the_fit(kind, base, guides):
    """Control cells are predicted as they were observed, on the scale of the fit, plus a change."""
    of_fit = {"counts": guides.X, "linear": shares(guides), "log1p": np.log1p(shares(guides))}
    now = shares(guides) if base is None else logged(shares(guides), base)
    guides.X = of_fit[kind]
    assert taken(guides, SCCVAE, normalize=kind == "counts").kind == kind
    expected = predicted(guides)
    guides.X = now
    np.testing.assert_allclose(predicted(guides), expected, rtol=1e-4, atol=1e-5)


def predicted(adata):
    dko.tl.virtual_ko(adata, "1")
    return adata.layers["dko_ko_1"]


def test_counts_where_the_fit_read_logarithms_are_refused(guides):
    """What they would have been normalised to is not known."""
    counts = guides.X
    guides.X = np.log1p(shares(guides))
    taken(guides, SCCVAE)
    guides.X = counts
    with pytest.raises(ValueError, match="X holds counts now"):
        predicted(guides)
