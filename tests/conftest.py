"""Small cells that are fitted once per session and copied per test, and helpers that many tests share."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import joblib
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import settings
from scipy import sparse

import dko

from .paper import Layers

os.environ.setdefault("MPLBACKEND", "Agg")
# The same examples in every run: a test that fails sometimes is of no use to whoever has to mend it.
settings.register_profile("dko", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("dko")
# The only mode of pandas 3, in which an array that pandas gave away cannot be written to.
if pd.__version__ < "3":
    pd.set_option("mode.copy_on_write", True)

# Of the simulated screen.
KNOCKOUTS = ("gene_2", "gene_6", "gene_15", "gene_22", "gene_18+gene_8")
SLASH = "HSPA1A/B"
PERCENT = "50%_%2F"
# Direct effects, which the formula of the paper gives; total ones are tested by themselves.
QUICK: dict[str, Any] = {"max_epochs": 3, "learning_rate": 0.01, "effects": "direct", "progress": False}
SCREEN: dict[str, Any] = {"perturbation_key": "knockout", "control": "control"}
SMALL_SCCVAE: dict[str, Any] = {"model": "sccvae", "min_cells": 10, "normalize": True, "progress": False}
SMALL_SCCVAE |= {"n_latent": 4, "hidden": (8,), "max_steps": 2}
# Of screens that `dko.datasets.perturb_seq` has made.
PERTURB_SEQ: dict[str, Any] = {"model": "sccvae", "perturbation_key": "perturbation", "control": "control"}
PERTURB_SEQ |= {"n_latent": 8, "hidden": (16, 16), "groups": 4, "batch_size": 32, "progress": False}

FUNCTIONS: dict[str, Any] = {
    f"{part}.{name}": getattr(getattr(dko, part), name)
    for part in ("tl", "get", "pl", "pp", "io", "metrics", "datasets")
    for name in getattr(dko, part).__all__
}
# A plan is a table, and changes nothing.
TOOLS = [name for name in FUNCTIONS if name.startswith("tl.") and name != "tl.plan"]
# Of the prepared cells: a model of perturbations; one with a scan and affected genes, which no tool below makes anew.
OF_SCREEN, TWIN = "dko_screen", "dko_twin"
SETS = pd.DataFrame({"source": "set", "target": [f"gene_{number}" for number in range(3, 9)]})
# What each function needs to work on the prepared cells; those that read results, after every tool.
CALLS: dict[str, dict[str, Any]] = {
    "tl.affected_genes": {"gene": "gene_2"},
    "tl.cluster_impact": {"key": "scanned", "key_added": "dko_scanned"},
    "tl.dose_response": {"genes": "gene_2", "doses": [0, 0.5, 1]},
    "tl.double_ko": {"n_samples": 10},
    "tl.enrichment": {"net": SETS, "key": TWIN},
    "tl.evaluate": {**SCREEN, "n_bootstrap": 5, "n_splits": 2},
    "tl.fit": {"max_epochs": 1, "key_added": "new"},
    "tl.identity_shift": {"genes": "gene_2", "groupby": "cell_type", "n_neighbors": 5},
    "tl.interactions": {"genes": ["gene_2", "gene_3", "gene_4"], "n_permutations": 10},
    "tl.perturbation_modules": {"alpha": 0.5, "n_null": 20, "key": OF_SCREEN},
    "tl.rank_genes": {"n_bootstraps": 2, "key": TWIN},
    "tl.virtual_ko": {"genes": "gene_2"},
    "get.clusters": {"key": "dko_scanned"},
    "get.effects": {"genes": ["gene_2"]},
    "get.enrichment": {"key": TWIN},
    "get.impact": {"key": TWIN},
    "get.modules": {"key": OF_SCREEN},
    "pl.fit": {"return_fig": True},
    "pl.heatmap": {"key": TWIN},
    "pl.history": {"return_fig": True},
    "pl.impact": {"genes": "gene_2", "key": TWIN, "return_fig": True},
    "pl.modules": {"key": OF_SCREEN},
    "pl.profile": {"genes": "gene_2"},
    "pl.ranking": {"key": TWIN},
    "pl.waterfall": {"genes": "gene_2", "key": TWIN},
    "pp.select_genes": {"n_top_genes": 5},
    "pp.split_perturbations": {**SCREEN, "n_folds": 2},
    "io.load": {"path": "model.npz", "key_added": "new"},
    "io.save": {"path": "saved.npz"},
    "io.write_reference": {"dir": "written"},
    "io.write_embedding": {"path": "cells.html", "key": TWIN},
    "io.write_report": {"path": "report.html"},
}


def explicit_zeros(x):
    """The same values, with zeros stored where nothing is: a pattern that says nothing."""
    rows, columns = np.indices(x.shape).reshape(2, -1)
    return sparse.csr_matrix((x.toarray().ravel(), (rows, columns)), shape=x.shape)


def unsorted(x):
    """The same values, each row stored from its last gene to its first."""
    order = np.concatenate([np.arange(b, a, -1) - 1 for a, b in zip(x.indptr, x.indptr[1:], strict=False)])
    return sparse.csr_matrix((x.data[order], x.indices[order], x.indptr.copy()), shape=x.shape)


def twice(x):
    """The same values, the first half of each in an entry of its own."""
    data, indices = np.repeat(x.data / 2, 2), np.repeat(x.indices, 2)
    return sparse.csr_matrix((data, indices, 2 * x.indptr), shape=x.shape)


def dask_of_csr(x):
    blocks = [
        da.from_array(x[start : start + 20], chunks=(20, 20), asarray=False) for start in range(0, x.shape[0], 20)
    ]
    return da.concatenate(blocks)


# By name, how the values of a CSR matrix of 80 cells or more are held.
TYPES: dict[str, Callable[[Any], Any]] = {
    "ndarray": lambda x: x.toarray(),
    "csr_matrix": lambda x: x,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "explicit zeros": explicit_zeros,
    "unsorted": unsorted,
    "twice": twice,
    "int32": lambda x: x.astype(np.int32),
    "uint16 dense": lambda x: x.toarray().astype(np.uint16),
    "float16": lambda x: x.toarray().astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "int64 indices": lambda x: sparse.csr_matrix((x.data, *(i.astype(np.int64) for i in (x.indices, x.indptr)))),
    "dask": lambda x: da.from_array(x.toarray(), chunks=(17, 20)),
    "dask of csr": dask_of_csr,
}


def call(name, adata, **more):
    return FUNCTIONS[name](adata, **{**CALLS.get(name, {}), **more})


@pytest.fixture(scope="session")
def _cells():
    """80 cells x 20 genes of counts: awkward names, two groups, an embedding."""
    adata = dko.datasets.grn(80, 20, density=0.4, share_present=(0.3, 0.9), depth=400, rng=1)
    adata.var_names = [SLASH, PERCENT, *adata.var_names[2:]]
    adata.obs["cell_type"] = pd.Categorical(np.where(np.arange(80) % 2, "CD4/CD8 T", "B"))
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(80, 2))
    del adata.layers["truth"], adata.varp["network"], adata.uns["grn"]
    return adata


@pytest.fixture(scope="session")
def _fitted(_cells):
    """The same cells after ``tl.fit``: one model."""
    return dko.tl.fit(_cells, copy=True, **QUICK)


@pytest.fixture(scope="session")
def _grouped(_cells):
    """The same with a model of each of two groups."""
    return dko.tl.fit(_cells, groupby="cell_type", copy=True, **QUICK)


@pytest.fixture(scope="session")
def _total(_cells):
    """The same with total effects."""
    return dko.tl.fit(_cells, copy=True, **{**QUICK, "effects": "total"})


@pytest.fixture(scope="session")
def _screen():
    """200 unperturbed cells x 30 genes, which are fitted, and 40 with each of five true knockouts, one of a pair."""
    rng = np.random.default_rng(0)
    simulated = dko.datasets.grn(400, 30, density=0.08, share_present=(0.9, 1.0), depth=2_000, rng=2)
    labels = np.array(["control"] * 200 + [name for name in KNOCKOUTS for _ in range(40)])
    counts = simulated.X.toarray()
    for label in KNOCKOUTS:
        rows = np.flatnonzero(labels == label)
        names = list(simulated.obs_names[rows])
        after = dko.datasets.grn_knockout(simulated, label.split("+"), cells=names)
        counts[rows] = rng.poisson(2_000 * after.toarray())
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=simulated.obs[[]], var=simulated.var[[]])
    adata.obs["knockout"] = labels
    dko.tl.fit(adata, **SCREEN, max_epochs=20, effects="direct", progress=False)
    return adata


@pytest.fixture(scope="session")
def _evaluated(_screen):
    """The same after ``tl.evaluate``."""
    return dko.tl.evaluate(_screen, **SCREEN, n_bootstrap=100, progress=False, copy=True)


@pytest.fixture(scope="session")
def _perturbations(_cells):
    """The cells after ``tl.fit(model="sccvae")``: a model of perturbations, of two members."""
    adata = _cells.copy()
    adata.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15
    dko.tl.fit(adata, **SCREEN, **SMALL_SCCVAE, n_members=2)
    return adata


@pytest.fixture(scope="session")
def _prepared(_fitted):
    adata = _fitted.copy()
    adata.uns[TWIN] = adata.uns["dko"]
    dko.tl.scan(adata, key=TWIN)
    dko.tl.affected_genes(adata, "gene_2", key=TWIN)
    # Something to cluster by, under a name that no other tool writes to.
    for layer in ("impact", "downstream"):
        adata.layers[f"scanned_{layer}"] = adata.layers[f"{TWIN}_{layer}"]
    adata.obs["knockout"] = pd.Categorical(["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15)
    dko.tl.fit(adata, **SCREEN, **SMALL_SCCVAE, n_members=1, key_added=OF_SCREEN)
    return adata


@pytest.fixture(scope="session")
def _finished(_prepared):
    """The prepared cells after every tool but another fit."""
    adata = _prepared.copy()
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in_for_decoupler(monkeypatch)
        for name in TOOLS:
            if name != "tl.fit":
                call(name, adata)
    return adata


@pytest.fixture(scope="session")
def _perturbed():
    """A simulated screen after ``tl.fit(model="sccvae")``, of some accuracy; its sixth perturbation is unseen.

    40 genes, log-normalised, six knocked down alone and one pair of them, 25 cells each, and 60 control cells.
    """
    adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "odd", "even"))
    holdout = [adata.varm["effect"].columns[5]]
    dko.tl.fit(adata, **PERTURB_SEQ, n_members=2, holdout=holdout, max_steps=100, learning_rate=3e-3)
    return adata


@pytest.fixture(scope="session")
def singles(_perturbed):
    """The single perturbations of this screen."""
    return [label for label in _perturbed.varm["effect"] if "+" not in label]


def stand_in_for_decoupler(monkeypatch):
    means = SimpleNamespace(ulm=lambda data, **how: (data.iloc[:, :1].set_axis(["set"], axis=1), None))
    monkeypatch.setitem(sys.modules, "decoupler", SimpleNamespace(mt=means))


@pytest.fixture
def prepared(_prepared, monkeypatch):
    """Fitted cells on which each of `CALLS` runs: of three models, with measured knockouts."""
    stand_in_for_decoupler(monkeypatch)
    return _prepared.copy()


def copy_of(name: str):
    """Fixture of a copy of a session's data, which lie in the fixture of the same name with an underscore before."""
    return pytest.fixture(name=name)(lambda request: request.getfixturevalue(f"_{name}").copy())


cells, fitted, grouped, total = map(copy_of, ("cells", "fitted", "grouped", "total"))
screen, evaluated, perturbations, perturbed = map(copy_of, ("screen", "evaluated", "perturbations", "perturbed"))
finished = copy_of("finished")


@pytest.fixture(scope="session")
def quick():
    """Keywords of a fit of a few steps."""
    return QUICK


@pytest.fixture(scope="session")
def fit_once():
    """``dko.tl.fit`` for code that readers copy: once per cells and keywords, and of screens no more than a few steps.

    What such code shows is not whether the training is any good; a fit of the same cells would give the same result.
    """
    made: dict[str, AnnData] = {}
    really = dko.tl.fit

    @wraps(really)  # the command line reads its options from it
    def fit(adata, **how):
        if how.get("max_steps"):
            how["max_steps"] = min(how["max_steps"], 10)
        if not isinstance(adata, AnnData) or adata.isbacked:
            return really(adata, **how)
        asked = joblib.hash((adata.X, dict(adata.layers), adata.obs, list(adata.var_names), how))
        if asked not in made:
            made[asked] = really(adata, copy=True, **how)
        found = made[asked].copy()
        adata.obs, adata.var, adata.uns = found.obs, found.var, found.uns
        return None

    return fit


@pytest.fixture(scope="session")
def layers_of():
    """Layers of the naive formula from a fitted AnnData, as a function."""

    def layers(adata, group=0, key="dko"):
        weights = {name: np.asarray(array[group], dtype=float) for name, array in adata.uns[key]["weights"].items()}
        n = len(weights["intercept"])
        return Layers(w1=weights["influence"], b1=np.zeros(n), w2=np.eye(n), b2=weights["intercept"])

    return layers


@pytest.fixture(scope="session")
def dense():
    """Dense float64 array of any matrix, as a function."""
    return lambda x: np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=float)


@pytest.fixture(scope="session")
def reference_data():
    """Folder of real data; tests that need it are skipped where it is not."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("DKO_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; name the folder in DKO_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def mudata_of():
    """MuData of modalities; mudata 0.3 warns all who make one of what 0.4 will do."""
    import mudata

    def make(**modalities):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return mudata.MuData(modalities)

    return make


@pytest.fixture(scope="session")
def stored():
    """Write data to a path, by its ending, and read them again, as a function."""
    import anndata
    import mudata

    def back(data, path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the next versions of mudata, anndata and zarr will do
            if path.suffix == ".h5mu":
                data.write_h5mu(path)
                return mudata.read_h5mu(path)
            getattr(data, f"write_{path.suffix[1:]}")(path)
            return getattr(anndata, f"read_{path.suffix[1:]}")(path)

    return back


@pytest.fixture(scope="session")
def unchanged():
    """Context in which an AnnData must not change, not even from a view into a copy."""

    @contextmanager
    def context(adata):
        before, was_view = adata.copy(), adata.is_view
        yield
        assert adata.is_view == was_view
        assert_same_adata(adata, before)

    return context


@pytest.fixture(scope="session")
def process_unchanged():
    """Context after which everything that a process shares is as it was."""

    @contextmanager
    def context():
        before = process_state()
        try:
            yield
        finally:
            after = process_state()
            if after["files"] != before["files"]:
                gc.collect()  # closes those that nobody holds any more
                after = process_state()
            # Libraries that were not loaded yet had no threads.
            assert {name: after[name] for name in before} == before

    return context


def process_state():
    import matplotlib as mpl
    import torch
    from threadpoolctl import threadpool_info

    descriptors = Path("/proc/self/fd")
    return {
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "signals": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
        "loggers": [(len(log.handlers), log.level) for log in (logging.getLogger(), logging.getLogger("dko"))],
        "random": str((random.getstate(), np.random.get_state(), torch.get_rng_state())),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "inference": torch.is_inference_mode_enabled(),
        "matplotlib": str((mpl.get_backend(), sorted(mpl.rcParams.items(), key=str))),
        "pandas": [pd.get_option(name) for name in ("display.max_rows", "display.precision")],
        "settings": dict(vars(dko.settings)),
        "threads": {thread.name for thread in threading.enumerate()},
        "files": sorted(os.readlink(path) for path in descriptors.iterdir() if path.exists()),
        **{pool["filepath"]: pool["num_threads"] for pool in threadpool_info()},
    }


def assert_same_adata(a, b):
    """Compare two AnnData deeply: classes, dtypes, values."""
    for place in ("X", "obs", "var"):
        assert_same_value(getattr(a, place), getattr(b, place), place)
    for place in ("uns", "obsm", "varm", "obsp", "varp", "layers"):
        assert_same_value(dict(getattr(a, place)), dict(getattr(b, place)), place)
    assert (a.raw is None) == (b.raw is None)
    if a.raw is not None:
        assert_same_value(a.raw.X, b.raw.X, "raw.X")
        assert_same_value(a.raw.var, b.raw.var, "raw.var")


def assert_same_value(a, b, where):
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for name in a:
            assert_same_value(a[name], b[name], f"{where}[{name!r}]")
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, obj=where)
    elif sparse.issparse(a):
        assert a.format == b.format and a.dtype == b.dtype and a.shape == b.shape, where
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part), err_msg=where)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, where
        np.testing.assert_array_equal(a, b, err_msg=where)
    else:
        assert type(a) is type(b) and a == b, where
