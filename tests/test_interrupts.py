"""Ctrl-C at any line, and at any time: a KeyboardInterrupt, and all results or none."""

from __future__ import annotations

import concurrent.futures
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import dko
from dko._core.process import behind

from .conftest import SCREEN, SMALL_SCCVAE, assert_same_adata

PACKAGE = str(Path(dko.__file__).parent)
CALLS: dict[str, Any] = {
    "fit": lambda adata: dko.tl.fit(adata, max_epochs=2, effects="total", rng=0),
    "fit_sccvae": lambda adata: dko.tl.fit(adata, **SCREEN, **SMALL_SCCVAE, n_members=1, rng=0),
    "scan": lambda adata: dko.tl.scan(adata),
    "rank_genes": lambda adata: dko.tl.rank_genes(adata, n_bootstraps=2),
    "virtual_ko": lambda adata: dko.tl.virtual_ko(adata, ["gene_2", "gene_3"]),
}


@pytest.fixture(autouse=True)
def _as_in_a_terminal():
    """Whoever runs the tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def begun(_fitted):
    """Cells with results of every kind, which a new fit and a new scan take away."""
    adata = _fitted.copy()
    adata.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15
    dko.tl.scan(adata)
    dko.tl.virtual_ko(adata, "gene_2")
    dko.tl.rank_genes(adata, n_bootstraps=2)
    return adata


@pytest.fixture(scope="module")
def ended(begun):
    """The same after each call."""
    found = {name: begun.copy() for name in CALLS}
    for name, adata in found.items():
        CALLS[name](adata)
    return found


class AtLine:
    """Press Ctrl-C before the n-th line of the package that is run, or of other code."""

    def __init__(self, n: float, code: tuple[str, ...] = (PACKAGE,)):
        self.left = n
        self.n = 0
        self.code = code

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.code):
            return None
        if event == "line":
            self.n += 1
            if self.n == self.left:
                signal.raise_signal(signal.SIGINT)
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *error):
        sys.settrace(self.before)


class AtTime:
    """Press Ctrl-C after some seconds."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        return self

    def __exit__(self, *error):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


def interrupt(name, press, begun, ended):
    """Interrupt a call, and hold what is left against what was there and what would have been."""
    adata, threads = begun.copy(), set(threading.enumerate())
    try:
        with press:
            CALLS[name](adata)
    except KeyboardInterrupt:
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert all(thread.daemon or thread in threads for thread in threading.enumerate())
    try:
        assert_same_adata(adata, begun)
    except AssertionError:
        whole = ended[name]
        for place in ("obs", "var", "layers", "obsm", "varm", "uns"):
            assert set(getattr(adata, place)) == set(getattr(whole, place)), place
        assert set(adata.uns["dko"]) == set(whole.uns["dko"])
        # Interrupted in training, a fit has kept the best weights until then.
        if not name.startswith("fit"):
            close(adata, whole)


def close(adata, whole):
    """Hold results against others: the last digit of a float32 may differ from run to run."""
    for layer in set(whole.layers) - {None}:
        np.testing.assert_allclose(adata.layers[layer].toarray(), whole.layers[layer].toarray(), rtol=1e-6)
    for place in ("obs", "var", "varm", "obsm"):
        for name in getattr(whole, place):
            values, expected = getattr(adata, place)[name], getattr(whole, place)[name]
            if isinstance(expected, pd.DataFrame):
                pd.testing.assert_frame_equal(values, expected, rtol=1e-6)
            elif expected.dtype.kind == "f":
                np.testing.assert_allclose(values, expected, rtol=1e-6)
    if "knockouts" in whole.uns["dko"]:
        pd.testing.assert_frame_equal(adata.uns["dko"]["knockouts"], whole.uns["dko"]["knockouts"])


def lines_of(name, begun):
    with AtLine(np.inf) as counted:
        CALLS[name](begun.copy())
    return counted.n


@pytest.fixture(autouse=True)
def restored():
    threads, chance, state = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()
    with dko.settings.override(verbosity=0):
        yield
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), chance)
    assert str(np.random.get_state()) == str(state)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def campaign(name, n, begun, ended, seed):
    rng = np.random.default_rng(seed)
    n_lines = lines_of(name, begun)
    # Half of them among the last lines, where results are written.
    for line in [*rng.integers(1, n_lines, n // 2), *(n_lines - rng.integers(0, 150, n - n // 2))]:
        interrupt(name, AtLine(int(line)), begun, ended)


@pytest.mark.parametrize("name", CALLS)
def test_at_some_lines(name, begun, ended):
    campaign(name, 8, begun, ended, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_at_many_lines(name, begun, ended):
    campaign(name, 200, begun, ended, seed=1)


# A library that is interrupted while it reads a file, such as the version of another, leaves it to be collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_at_many_times(name, begun, ended):
    for seconds in np.random.default_rng(2).uniform(1e-3, 0.2, 200):
        interrupt(name, AtTime(float(seconds)), begun, ended)


def test_an_error_that_hides_an_interrupt(fitted, monkeypatch):
    """Compiled code has a SystemError where it is interrupted."""

    def compiled(*args, **kwargs):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise SystemError("returned a result with an exception set") from interrupt

    monkeypatch.setattr("dko.models.dko.model.DkoModel.scan", compiled)
    with pytest.raises(KeyboardInterrupt):
        dko.tl.scan(fitted)
    # One that the caller handles already is not of the call.
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(KeyError, match="No gene"):
            dko.tl.virtual_ko(fitted, "nobody")


# What waits for threads.
WAITS = (str(Path(concurrent.futures.__file__).parent),)


def at_some_waits(call, n):
    """Press Ctrl-C in a call at some of the lines that start threads or wait for them, one after the other."""
    with AtLine(np.inf, WAITS) as counted:
        call()
    for line in np.linspace(1, counted.n, n).astype(int):
        with suppress(KeyboardInterrupt), AtLine(int(line), WAITS):
            call()
        yield


def test_work_in_a_thread_has_ended_whenever_ctrl_c_is_pressed():
    begun, ended = [], []

    def work(number):
        begun.append(number)
        time.sleep(0.005)
        ended.append(number)

    for _ in at_some_waits(lambda: behind(work, range(2)), 60):
        assert begun == ended


@pytest.mark.filterwarnings("ignore:.*zarr:UserWarning")
def test_nothing_of_a_store_is_left_as_nobody_writes_to_it_any_more(fitted, tmp_path):
    """A thread of zarr's own does."""
    for _ in at_some_waits(lambda: dko.tl.scan(fitted, out=tmp_path / "out.zarr", batch_size=40), 8):
        time.sleep(0.05)
        assert not list(tmp_path.glob(".dko-partial-*"))
