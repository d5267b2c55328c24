"""The parts of the accuracy benchmark on rankings score right; what they measure is not tested here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dko

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in the source archive"
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    with dko.settings.override(verbosity=0):
        yield


def test_uniform_p_values_are_told_from_small_ones():
    from benchmarks.accuracy._calibration import scores

    rng = np.random.default_rng(0)
    uniform = scores([rng.random(100) for _ in range(100)], rng)
    small = scores([rng.random(100) ** 2 for _ in range(100)], rng)
    assert uniform["share"] == pytest.approx(0.05, abs=0.01) and small["share"] == pytest.approx(0.22, abs=0.02)
    assert uniform["off"] < 3 < 50 < small["off"]
    assert small["ks"] < 1e-6 < 0.01 < uniform["ks"]
    assert uniform["ks_sets"] < 0.1 and small["ks_sets"] > 0.9
    assert uniform["fdr"] < 0.15 and small["fdr"] > 0.5


def test_permuted_genes_keep_their_counts():
    from benchmarks.accuracy._calibration import _permuted, _simulated

    counts = _simulated()(np.random.default_rng(0))
    found = _permuted(counts, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(found, axis=0)[-50:], np.sort(counts, axis=0)[-50:])
    assert (found != counts[: len(found)]).any(axis=0).mean() > 0.9


def test_true_keystones_score_best():
    from benchmarks.accuracy._keystone import _agreement, _true, baselines

    cells = dko.datasets.grn(80, 20, density=0.3, share_present=0.9, rng=0)
    true = _true(cells)
    has = (cells.X[:, [4]] > 0).toarray().ravel()
    impact = dko.datasets.grn_impact(cells)[:, [4]].toarray().ravel()
    assert true["impact"][4] == pytest.approx(impact[has].mean())
    assert ((true["downstream"] >= 0) & (true["downstream"] <= 1)).all() and true["downstream"].max() > 0
    assert _agreement(true["impact"], true["impact"]) == pytest.approx(1)
    assert all(np.isfinite(score).all() and score.shape == (20,) for score in baselines(cells).values())
