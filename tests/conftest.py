"""Small cells that are fitted once per session and copied per test, and helpers that many tests share."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import settings
from scipy import sparse

import dko
from dko.models.dko.reference import Layers

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
    return dko.tl.fit(_cells, copy=True, **QUICK)


@pytest.fixture(scope="session")
def _grouped(_cells):
    return dko.tl.fit(_cells, groupby="cell_type", copy=True, **QUICK)


@pytest.fixture(scope="session")
def _total(_cells):
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
    dko.tl.fit(adata, perturbation_key="knockout", control="control", max_epochs=20, effects="direct", progress=False)
    return adata


@pytest.fixture(scope="session")
def _evaluated(_screen):
    return dko.tl.evaluate(
        _screen, perturbation_key="knockout", control="control", n_bootstrap=100, progress=False, copy=True
    )


@pytest.fixture(scope="session")
def _perturbations(_cells):
    adata = _cells.copy()
    adata.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15
    of_fit: dict[str, Any] = {"perturbation_key": "knockout", "control": "control", "normalize": True, "min_cells": 10}
    size: dict[str, Any] = {"n_latent": 4, "hidden": (8,), "max_steps": 2, "n_members": 2, "progress": False}
    dko.tl.fit(adata, model="sccvae", **of_fit, **size)
    return adata


@pytest.fixture(scope="session")
def _perturbed():
    adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "odd", "even"))
    of_fit: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "n_members": 2}
    size: dict[str, Any] = {"n_latent": 8, "hidden": (16, 16), "groups": 4, "batch_size": 32, "max_steps": 100}
    holdout = [adata.varm["effect"].columns[5]]
    dko.tl.fit(adata, model="sccvae", **of_fit, **size, holdout=holdout, learning_rate=3e-3, progress=False)
    return adata


@pytest.fixture
def perturbed(_perturbed):
    """A simulated screen after ``tl.fit(model="sccvae")``, of some accuracy; its sixth perturbation is unseen."""
    return _perturbed.copy()


@pytest.fixture
def perturbations(_perturbations):
    """Cells after ``tl.fit(model="sccvae")``: a model of perturbations, of two members."""
    return _perturbations.copy()


@pytest.fixture
def screen(_screen):
    """Cells of five measured knockouts, with a fit on the unperturbed ones."""
    return _screen.copy()


@pytest.fixture
def evaluated(_evaluated):
    """The same after ``tl.evaluate``."""
    return _evaluated.copy()


@pytest.fixture
def cells(_cells):
    """Counts, not fitted."""
    return _cells.copy()


@pytest.fixture
def fitted(_fitted):
    """The same cells after ``tl.fit``: one model."""
    return _fitted.copy()


@pytest.fixture
def total(_total):
    """The same cells after ``tl.fit`` with total effects."""
    return _total.copy()


@pytest.fixture
def grouped(_grouped):
    """The same cells after ``tl.fit(groupby="cell_type")``."""
    return _grouped.copy()


@pytest.fixture(scope="session")
def quick():
    """Keywords of a fit of a few steps."""
    return QUICK


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
def same():
    """Compare two AnnData deeply: classes, dtypes, values; as a function."""
    return assert_same_adata


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
