"""What a call shares with the rest of the process, and what is left of it after a fork."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import warnings
from threading import Event

import pytest
import torch

import dko
from dko._core import process
from dko._core.process import ahead, behind

STEPS = {
    # Large enough for two threads: these would wait forever.
    "fit": lambda adata: dko.tl.fit(dko.datasets.grn(600, 100, density=0.05, rng=0), max_epochs=1, batch_size=512),
    "scan": lambda adata: dko.tl.scan(adata),
    "virtual_ko": lambda adata: dko.tl.virtual_ko(adata, "gene_2"),
    "rank_genes": lambda adata: dko.tl.rank_genes(adata, n_bootstraps=2),
}


@pytest.fixture
def two_threads():
    """A pool of OpenMP that has been used."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.rand(700, 700) @ torch.rand(700, 700)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", STEPS)
def test_a_forked_process_does_not_wait_for_threads_of_its_parent(name, fitted, two_threads):
    dko.tl.scan(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on, with threads
        child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            STEPS[name](fitted)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_cannot_work_in_a_forked_process_is_refused(fitted, monkeypatch, unchanged):
    dko.tl.scan(fitted)
    monkeypatch.setattr(process, "_after_numba", True)
    with unchanged(fitted), pytest.raises(RuntimeError, match=r"forked .*\.get_context\('spawn'\)"):
        dko.tl.cluster_impact(fitted)


def test_functions_of_others_use_one_thread_in_a_forked_process(fitted, monkeypatch):
    import numba

    dko.tl.scan(fitted)
    dko.tl.cluster_impact(fitted)
    alone, before = fitted.obs["dko_cluster"].copy(), numba.get_num_threads()
    monkeypatch.setattr(process, "_forked", True)
    dko.tl.cluster_impact(fitted)
    assert fitted.obs["dko_cluster"].equals(alone)
    assert numba.get_num_threads() == before


def test_the_next_item_is_made_while_the_last_one_is_used():
    begun = [Event() for _ in range(4)]

    def make():
        for number, event in enumerate(begun):
            event.set()
            yield number, threading.current_thread()

    items = ahead(make())
    for number, event in enumerate(begun):
        found, thread = next(items)
        assert found == number and thread is not threading.current_thread()
        assert all(one.wait(10) for one in begun[: number + 2])
        assert not any(one.is_set() for one in begun[number + 3 :])
        assert event.is_set()
    assert list(items) == [] and not thread.is_alive()


def test_a_thread_ends_with_who_uses_it_and_errors_are_those_of_the_items():
    def make():
        with dko.settings.override(verbosity=0):
            yield dko.settings.memory_budget
        raise OSError("the disk is gone")

    before = threading.active_count()
    with dko.settings.override(memory_budget=17):
        items = ahead(make())
        assert next(items) == 17
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)
        items = ahead(iter(range(10)))
        assert next(items) == 0 and threading.active_count() == before + 1
        items.close()
    assert threading.active_count() == before


def test_an_item_is_worked_on_while_the_next_one_is_made_and_none_is_forgotten():
    worked, next_is_made = [], Event()

    def work(number):
        # Waits for what is made only after this has begun.
        assert number or next_is_made.wait(10)
        worked.append((number, dko.settings.memory_budget))

    def make():
        for number in range(4):
            if number:
                next_is_made.set()
            yield number

    before = threading.active_count()
    with dko.settings.override(memory_budget=17):
        behind(work, make())
        behind(work, [])
    assert worked == [(number, 17) for number in range(4)] and threading.active_count() == before


@pytest.mark.parametrize("n", [1, 3])
def test_what_fails_in_the_thread_fails_here(n):
    def full(number):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        behind(full, range(n))


FAULTS = """
import resource
import numpy as np
from dko._core.process import memory_reused

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with memory_reused():
    faults()
    inside = faults()
print(inside, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Only glibc gives memory back as it is told.")
def test_workers_of_dask_use_memory_again_and_give_it_back_afterwards():
    asked = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    found = subprocess.run([sys.executable, "-c", FAULTS], env=asked, capture_output=True, text=True, check=True)
    inside, outside = map(int, found.stdout.split())
    assert 10 * inside < outside
