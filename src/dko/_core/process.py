"""Threads, random numbers and Ctrl-C: left as they were before a call, and safe in a forked process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from itertools import islice
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

    from .._typing import AbstractContextManager, Callable, Iterable, Iterator

T = TypeVar("T")


# By which dask has workers give freed memory back; and what glibc is told instead: above how many free bytes it gives
# them back, and above how many it takes memory from the system for one array.
_GIVEN_BACK, _TRIM, _MMAP = "MALLOC_TRIM_THRESHOLD_", -1, -3
# Whether this process was forked from one that had loaded any of these, and from one that had started numba's threads.
_POOLS = {"numba", "sklearn", "torch"}
_forked = _after_numba = False
# Whether work here has one thread, whatever torch says, which may not be loaded yet.
_alone: ContextVar[bool] = ContextVar("_alone", default=False)


def _note_fork() -> None:
    global _forked, _after_numba
    _forked, _after_numba = not _POOLS.isdisjoint(sys.modules), _numba_started()


def _numba_started() -> bool:
    numba = sys.modules.get("numba")
    try:
        return numba is not None and numba.threading_layer() == "omp"
    except ValueError:  # not started
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextmanager
def process_kept(*, alone: bool = False) -> Iterator[None]:
    """Leave torch as it was before a call, also if interrupted; in a forked process use one thread, not to hang.

    With `alone` use one thread in any: torch, and what is compiled here.
    """
    with _one_thread() if _forked else nullcontext(), _marked_alone() if alone else nullcontext():
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        threads, chance, gradients = torch.get_num_threads(), torch.get_rng_state(), torch.is_grad_enabled()
        try:
            if _forked or alone:
                torch.set_num_threads(1)
            yield
        except BaseException:
            # Functions inside restore it themselves, except when they are interrupted at that very line.
            torch.set_rng_state(chance)
            raise
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            # Stay off if a step of torch's optimiser is interrupted.
            torch.set_grad_enabled(gradients)


@contextmanager
def _marked_alone() -> Iterator[None]:
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


@contextmanager
def memory_reused() -> Iterator[None]:
    """Keep memory that is freed for what comes next, in workers of dask, which give it back to the system at once.

    To get it again for every temporary array can take longer than what is computed, as in the null of a fit.
    """
    given = os.environ.get(_GIVEN_BACK, "")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if given.isdigit() and os.name == "posix" else None
    if mallopt is None:  # not asked to, or another C library than glibc
        yield
        return
    mallopt(_TRIM, 2**28)
    mallopt(_MMAP, 2**25)
    try:
        yield
    finally:
        mallopt(_TRIM, int(given))
        mallopt(_MMAP, 2**17)  # as glibc has it
        give_back()


def give_back() -> None:
    """Give freed memory back to the system, before large arrays are made, which glibc does not put there."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None:
        trim(0)


def is_alone() -> bool:
    """Whether work in this thread may use no other threads."""
    return _alone.get()


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """Put off Ctrl-C until the end of the block, for what has to be whole; yield what was pressed, to be cleared."""
    handler = signal.getsignal(signal.SIGINT)
    # Python interrupts the main thread alone, and a handler that it does not know cannot be put back.
    received: list[int] = []
    if current_thread() is not main_thread() or handler is None:
        yield received
        return
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def _one_thread() -> AbstractContextManager[Any]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


@contextmanager
def numba_threads() -> Iterator[None]:
    """Call, inside the block, functions of other packages that start numba's own threads."""
    import numba

    if _after_numba:
        raise RuntimeError(
            "This process was forked from one in which scanpy, or another package, had started numba's threads, which "
            "do not survive a fork: start processes with multiprocessing.get_context('spawn') instead."
        )
    if not _forked:
        yield
        return
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        with _one_thread():  # once more, as numba starts with more
            yield
    finally:
        numba.set_num_threads(before)


def keep_compiled_umap() -> None:
    """Let numba keep on disk what it compiles of umap, as of this package: most of the time of a first call."""
    # Its functions may have other names one day, and there may be no folder to write to.
    with warnings.catch_warnings(), suppress(ImportError, AttributeError, RuntimeError):
        warnings.simplefilter("ignore", ImportWarning)  # that umap could do more with tensorflow
        from umap import layouts, umap_

        for function in (
            umap_.smooth_knn_dist,
            umap_.compute_membership_strengths,
            layouts._nb_optimize_layout_euclidean_single_epoch,
        ):
            function.enable_caching()


def ahead(items: Iterable[T]) -> Generator[T]:
    """Yield the same items; a thread makes the next one while the last one is used, and ends with the generator."""
    iterator = iter(items)

    def take() -> list[T]:
        return list(islice(iterator, 1))

    with _thread() as started:
        coming = started(take)
        while item := coming.result():
            coming = started(take)
            yield item[0]


def behind(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do `work` on each item, in a thread, while the next item is made here."""
    with _thread() as started:
        done: Future[object] | None = None
        for item in items:
            if done:
                done.result()
            done = started(work, item)
        if done:
            done.result()


def elsewhere(function: Callable[..., T], *given: Any) -> T:
    """Return what a call in another thread returns, in which no signal (SIGTERM, an alarm) raises anything."""
    with _thread() as started:
        found: T = started(function, *given).result()
    return found


@contextmanager
def _thread() -> Iterator[Callable[..., Future[Any]]]:
    """Yield what has another thread do a call; in the end wait for it, whenever Ctrl-C is pressed.

    Or it would go on with a file that is closed or removed.
    """
    context, pool = copy_context(), ThreadPoolExecutor(1)

    def started(function: Callable[..., Any], *given: Any) -> Future[Any]:
        # A pool does not know of a thread whose start was interrupted.
        with uninterrupted():
            return pool.submit(context.run, function, *given)

    try:
        yield started
    finally:
        with uninterrupted():
            pool.shutdown()
