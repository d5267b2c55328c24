from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from dko.models._parallel import in_parallel, n_threads
from dko.models.knockout import all_cells, effect_sums, knock_out, scan

from .oracle import make_map, make_presence


@pytest.fixture
def threads(monkeypatch):
    """Let the engine use some number of threads, whatever this machine has; as a function."""
    torch = pytest.importorskip("torch")

    def allow(by_numba, by_torch=64):
        monkeypatch.setattr(numba, "threading_layer", lambda: "omp")
        monkeypatch.setattr(numba, "get_num_threads", lambda: by_numba)
        monkeypatch.setattr(torch, "get_num_threads", lambda: by_torch)

    return allow


def test_as_many_threads_as_both_libraries_allow(threads):
    threads(by_numba=3, by_torch=5)
    assert n_threads() == 3
    threads(by_numba=7, by_torch=5)
    assert n_threads() == 5


def test_all_pieces_are_done_once_on_several_threads(threads):
    threads(3)
    gate, done = threading.Barrier(3), []

    def work(piece):
        if piece < 3:
            gate.wait(timeout=30)  # three at the same time, or never
        done.append((piece, threading.get_ident()))

    in_parallel(work, range(10))
    assert sorted(piece for piece, _ in done) == list(range(10))
    assert len({thread for _, thread in done}) == 3


@pytest.mark.parametrize("n", [1, 3])
def test_an_error_in_a_thread_is_raised(threads, n):
    threads(n)
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda piece: 1 // (4 - piece), range(6))


def test_the_number_of_threads_and_of_callers_changes_nothing(threads):
    rng = np.random.default_rng(0)
    affine, presence = make_map(40, rng), make_presence(600, 40, 0.5, rng)
    row = np.repeat(np.arange(3, 600), 10)
    removed = rng.integers(0, np.diff(presence.indptr)[row][:, None], (len(row), 1))

    def results():
        effects, _ = effect_sums(affine, presence, np.arange(40), np.arange(600) % 2, 2)
        impacts = knock_out(affine, all_cells(affine, presence), row, removed)
        return np.concatenate([scan(affine, presence)[0], *impacts, effects.ravel()])

    threads(1)
    one = results()
    for n in (2, 5):
        threads(n)
        with ThreadPoolExecutor(2) as pool:
            for found in [pool.submit(results) for _ in range(3)]:
                np.testing.assert_allclose(found.result(), one, rtol=1e-6, atol=1e-6)


def test_asking_for_the_number_of_threads_does_not_start_those_of_numba():
    script = "import numba, dko.models._parallel as p; p.n_threads(); numba.threading_layer()"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ValueError: Threading layer is not initialized" in ran.stderr
