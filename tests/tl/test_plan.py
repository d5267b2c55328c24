"""What is said before a fit: counts and bytes are those of the calls that follow, and times those of this machine."""

from __future__ import annotations

import time
from collections import Counter

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import dko
from dko.tl._plan import estimate
from dko.tl.planning import _calibration, _work
from dko.tl.planning._calibration import Calibration, Timed, rates_of
from dko.tl.planning._words import summary

STEPS = ["fit", "scan to a file", "scan", "rank_genes", "virtual_ko of one gene"]


@pytest.fixture(scope="module")
def _counts():
    """300 cells x 60 genes of three types, and a gene that no cell expresses."""
    rng = np.random.default_rng(0)
    values = rng.poisson(rng.gamma(1, 1, 61) * rng.lognormal(0, 0.3, (300, 1))).astype(np.float32)
    values[:, 60] = 0
    names = pd.RangeIndex(300).astype(str)
    obs = pd.DataFrame({"kind": pd.Categorical(rng.choice(["a", "b", "c"], 300))}, index=names)
    return ad.AnnData(dko._compat.stored(values), obs=obs, var=pd.DataFrame(index=[f"g{n}" for n in range(61)]))


@pytest.fixture(scope="module", autouse=True)
def _short():
    """Runs of fewer cells, of which 300 are many."""
    with pytest.MonkeyPatch.context() as patch:
        for name, n_cells in {"_FEW": 60, "_MANY": 240, "TRAINING": 120, "ALL": 250}.items():
            patch.setattr(_calibration, name, n_cells)
        yield


@pytest.fixture(scope="module")
def planned(_counts, _short):
    return dko.tl.plan(_counts.copy(), progress=False)


@pytest.fixture
def counts(_counts):
    return _counts.copy()


def test_counts_bytes_and_times_are_those_of_the_calls(planned, counts, tmp_path):
    assert list(planned.index) == STEPS and planned.index.name == "step"
    assert (planned["cells"] == 300).all() and (planned["genes"] == 60).all()
    start = time.perf_counter()
    dko.tl.fit(counts, effects="total", progress=False)
    taken = time.perf_counter() - start
    # Wide, as the machine of a test is a busy one.
    assert planned.loc["fit", "seconds_low"] / 5 < taken < planned.loc["fit", "seconds_high"] * 5
    dko.tl.scan(counts)
    n_knockouts = counts.layers["dko_impact"].nnz
    assert planned["knockouts"].tolist() == [0, *[n_knockouts] * 3, counts.X.getnnz(axis=0).max()]
    out = tmp_path / "impacts.h5ad"
    dko.tl.scan(counts, out=out)
    with h5py.File(out) as file:
        matrices = (file["X"], file["layers/dko_downstream"])
        n_bytes = sum(part.nbytes for one in matrices for part in one.values())
    assert planned.loc["scan to a file", "disk_bytes"] == pytest.approx(n_bytes, rel=1e-3)
    weights = counts.uns["dko"]["weights"].values()
    assert planned.loc["fit", "disk_bytes"] == pytest.approx(sum(one.nbytes for one in weights), rel=0.05)


def test_ranges_hold_the_times(planned):
    assert (planned["seconds_low"] < planned["seconds"]).all() and (planned["seconds"] < planned["seconds_high"]).all()
    assert (planned["seconds_with_workers"] == planned["seconds"]).all()
    assert (planned["memory_bytes"] > planned["disk_bytes"]).all()


def test_few_cells_are_fitted_once_and_the_plan_is_what_that_took(planned, counts, monkeypatch, capsys):
    monkeypatch.setattr(_calibration, "ALL", 300)
    sizes, of_runs = [], _calibration.size_of

    def size_of(cells, genes):
        sizes.append((cells.n_obs, len(genes)))
        return of_runs(cells, genes)

    monkeypatch.setattr(_calibration, "size_of", size_of)
    start = time.perf_counter()
    found = dko.tl.plan(counts, progress=False, workers=4)
    assert found["seconds"].sum() < time.perf_counter() - start
    assert sizes[-2:] == [(60, 50), (300, 60)], "what compiles, and all"
    exact = ["cells", "genes", "knockouts", "disk_bytes"]
    pd.testing.assert_frame_equal(found[exact], planned[exact])
    fit = found.loc["fit"]
    np.testing.assert_allclose(fit[["seconds_low", "seconds_high"]], fit["seconds"] * np.array([1 / 1.5, 1.5]))
    assert (found["seconds_with_workers"] == found["seconds"]).all()
    said = capsys.readouterr().err.splitlines()
    assert [step.split(",")[0].rsplit(" ", 2)[0] for step in said[0].split("; ")] == STEPS
    assert "workers" not in said[0], "only where they change anything"
    assert "300 of 300 cells were read" in said[1]


def test_cells_from_a_file_and_logarithms_give_the_same_counts(planned, counts, tmp_path):
    import scanpy as sc

    sc.pp.normalize_total(counts)
    sc.pp.log1p(counts)
    counts.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    columns = ["cells", "genes", "knockouts", "disk_bytes"]
    pd.testing.assert_frame_equal(dko.tl.plan(backed, progress=False)[columns], planned[columns])


def test_groups_have_a_model_each_and_workers_share_the_cells(planned, counts, unchanged):
    counts.obs["kind"] = counts.obs["kind"].cat.add_categories("rare")
    counts.obs.loc[counts.obs_names[:3], "kind"] = "rare"
    with unchanged(counts):
        found = dko.tl.plan(counts, groupby="kind", workers=4, progress=False)
    assert (found["cells"] == 297).all()
    assert found.loc["fit", "disk_bytes"] == 3 * planned.loc["fit", "disk_bytes"]
    # Nor is a fit shared of so few cells.
    alone = found.loc[["fit", "rank_genes"]]
    assert (alone["seconds_with_workers"] == alone["seconds"]).all()
    # By measured rates, in which a cell may cost nothing where a run is short.
    assert (found["seconds_with_workers"] <= found["seconds"]).all()


def test_rates_are_found_again_in_the_times_that_they_make():
    rng = np.random.default_rng(0)
    each = {"start": 0.5, "cells": 1e-3, "pairs": 2e-8}
    works = [Counter(start=1, cells=cells, pairs=cells * genes**2) for cells in (100, 4_000) for genes in (50, 300)]
    noise = rng.uniform(0.97, 1.03, len(works))
    cpu = [factor * sum(each[kind] * n for kind, n in work.items()) for factor, work in zip(noise, works, strict=True)]
    rates = rates_of([Timed(work, 2 * seconds, seconds) for work, seconds in zip(works, cpu, strict=True)])
    large = {"start": 1, "cells": 1e6, "pairs": 1e6 * 300**2}
    assert rates.seconds(large) == pytest.approx(2 * sum(each[kind] * n for kind, n in large.items()), rel=0.1)


def test_time_grows_with_cells_up_to_what_does_not():
    rates = {step: rates_of([Timed(_work.of_cells(SIZE), 1.0, 1.0)]) for step in STEPS[1:]}
    fits = [Timed(_work.of_fit(SIZE._replace(n_cells=n), 100), n / 1e3, n / 1e3) for n in (1_000, 4_000)]
    calibration = Calibration({"fit": rates_of(fits), **rates}, n_steps=100, n_cells=1_000)
    tables = [estimate(SIZE._replace(n_cells=n), calibration, workers=8) for n in (10**6, 10**7)]
    assert (tables[1]["seconds"] >= tables[0]["seconds"]).all()
    assert (tables[1]["knockouts"] == [0, *[10 * n for n in tables[0]["knockouts"][1:]]]).all()
    shared = tables[1]["seconds_with_workers"] < tables[1]["seconds"]
    assert set(tables[1].index[shared]) == {"fit", "scan to a file", "scan", "virtual_ko of one gene"}
    assert summary(tables[1], 8).count(" (8 workers: ") == 4
    assert tables[1].loc["fit", "seconds_high"] / tables[1].loc["fit", "seconds_low"] >= 1.5**2


SIZE = _work.Size(n_cells=1_000, n_genes=500, read=800, present=100, square=12_000, common=0.9)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"genes": "nope"}, KeyError, "No gene 'nope' in var_names"),
        ({"groupby": "nope"}, KeyError, "nope"),
        ({"layer": "nope"}, KeyError, "No layer 'nope'"),
        ({"workers": 0}, ValueError, "workers=0 must be at least 1"),
        ({"device": "nope"}, ValueError, "device='nope' cannot be used here"),
    ],
)
def test_refusals(counts, how, error, says):
    with pytest.raises(error, match=says):
        dko.tl.plan(counts, **how)


def test_genes_and_cells_without_expression_are_refused(counts):
    counts.X = counts.X.toarray()
    counts.X[:, 3] = 0
    with pytest.raises(ValueError, match=f"None of the 300 cells that were read expresses '{counts.var_names[3]}'"):
        dko.tl.plan(counts, genes=[counts.var_names[3]])
    counts.X[:] = 0
    with pytest.raises(ValueError, match="None of the 300 cells that were read expresses any gene"):
        dko.tl.plan(counts)


def test_no_expression_is_refused(counts):
    counts.X.data[5] = np.nan
    with pytest.raises(ValueError, match="has a NaN or infinite value"):
        dko.tl.plan(counts)
