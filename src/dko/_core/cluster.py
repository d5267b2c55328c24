"""Work on blocks of cells: by the workers of a dask cluster where the user has one, else here."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .._settings import settings
from ..models.rows import sizes_of
from .messages import say
from .process import memory_reused, process_kept

if TYPE_CHECKING:
    from distributed import Client, Future

R = TypeVar("R")

# Blocks of cells for each thread of the workers, so that all end at about the same time; and fewest cells of a block,
# as what is computed once for each takes its time too.
_PER_THREAD, _FEWEST = 4, 256
# Blocks for each thread that are sent at a time: one is computed, the other waits.
_AHEAD = 2
# Threads of workers that make up for sending: with two a fit takes as long as without (docs, cluster).
FEWEST_THREADS = 3
# Parts of what is shared in parts, not by the number of workers, or sums would depend on it. So many together have no
# more cells than fit into the memory budget, at so many bytes for an entry.
PARTS, _OF_BUDGET, _ENTRY = 64, 16, 8


def in_blocks(
    work: Callable[..., Iterable[R]],
    tasks: Iterable[tuple[Any, ...]],
    advance: Callable[[int], object],
    most: int = sys.maxsize,
) -> Iterator[R]:
    """Yield, in order, all that `work` finds in each block of cells, `most` of which are sent at a time.

    A task is a block, read or not, and what else `work` is given of it, before a function that it tells of how much
    more it has done. With a cluster `work` is sent once, and blocks as workers are done with others; what a worker that
    dies had to do is done by another one.
    """
    client = active_client()
    if client is None:
        for block, *more in tasks:
            yield from work(block.read(), *more, advance)
        return
    with _calls(client, work, most) as calls:
        for task in tasks:
            calls.add(*task)
            while calls.full:
                yield from calls.next(advance)
        while calls.pending:
            yield from calls.next(advance)


def in_parts(work: Callable[[Any, slice], R], things: Any, least: int) -> Iterator[R]:
    """Yield, in order, what `work` finds in each part of many things: a :class:`dko.models.sharing.Each`.

    Which parts there are depends on the things alone, so that sums of what is found are the same with any workers. With
    too few of these, and where two parts would have fewer than `least` things, all is one part, here.
    """
    n, step, client = things.shape[0], _step(things, least), active_client()
    if client is None or step >= n or _n_threads(client) < FEWEST_THREADS:
        yield work(things, slice(0, n))
        return
    parts = (slice(first, min(first + step, n)) for first in range(0, n, step))
    tasks = ((_Here(things[rows]), rows) for rows in parts)
    yield from in_blocks(partial(_found, work), tasks, lambda n: None, _OF_BUDGET)


def _step(things: Any, least: int) -> int:
    """Return how many things make a part."""
    n = int(things.shape[0])
    if 2 * least > n:
        return n
    step = max(least, -(-n // PARTS))
    if isinstance(things, np.ndarray):
        return step
    n_bytes = _ENTRY * (1 + int(sizes_of(things).mean()))
    return min(step, max(1, settings.memory_budget // (_OF_BUDGET * n_bytes)))


class _Here(NamedTuple):
    """Things that this process has, to be sent as they are."""

    things: Any

    def read(self) -> Any:
        """Return them."""
        return self.things


def _found(work: Callable[[Any, slice], R], things: Any, rows: slice, advance: Callable[[int], object]) -> Iterator[R]:
    yield work(things, rows)


def share_of(n_rows: int, n_genes: int) -> int | None:
    """Return how many of these cells make a block that fits into memory and leaves work for all; None: no cluster."""
    if (client := active_client()) is None:
        return None
    fitting = max(1, settings.memory_budget // (8 * max(1, n_genes)))
    return min(fitting, max(_FEWEST, -(-n_rows // (_PER_THREAD * _n_threads(client)))))


def active_client() -> Client | None:
    """Return the client of ``dko.settings``, or else that which this process has made last, unless it works for one."""
    distributed: Any = sys.modules.get("distributed")  # whoever has a client has imported it
    if distributed is None or settings.client is False:
        return None
    with suppress(ValueError):
        distributed.get_worker()
        return None
    if settings.client is not None:
        if settings.client.status != "running":
            raise ValueError("dko.settings.client is not connected any more; set it to a new Client, or to None.")
        return settings.client
    with suppress(ValueError):
        found = distributed.Client.current()
        return None if found.asynchronous else found
    return None


def _n_threads(client: Client) -> int:
    """Return how many threads the workers have, once there is any."""
    if not (found := client.nthreads()):
        say(f"Waiting for a worker of {client}.")
        # A cluster that adapts starts workers for work alone.
        client.submit(int, pure=False).result()
        found = client.nthreads()
    return max(1, sum(found.values()))


class _Calls:
    """Calls of one function by workers, in order. All is sent by the scheduler, which can send it again."""

    def __init__(self, client: Client, work: Callable[..., Any], most: int):
        self._client, self._most = client, most
        self.pending: deque[Future] = deque()
        self._work = self._submit(_received, work)
        # Or blocks would wait for the worker that has it already, while others have nothing to do. Where a worker
        # goes at that very time this fails, in many ways, and workers get it with their first block.
        with suppress(Exception):
            client.replicate(self._work)

    @property
    def full(self) -> bool:
        """Whether enough blocks are on their way; workers may come and go."""
        return len(self.pending) >= min(self._most, _AHEAD * _n_threads(self._client))

    def add(self, block: Any, *more: Any) -> None:
        """Have a worker do a block."""
        self.pending.append(self._submit(_call, self._work, settings.memory_budget, block, *more))

    def next(self, advance: Callable[[int], object]) -> list[Any]:
        """Wait for the first block, and return what was found in it."""
        from distributed import KilledWorker

        try:
            found, n_done = self.pending.popleft().result()
        except KilledWorker as error:
            raise RuntimeError(
                "Several workers died one after the other at the same block of cells, perhaps as they have too little "
                "memory: choose a smaller batch_size or dko.settings.memory_budget."
            ) from error
        advance(n_done)
        return found

    def cancel(self) -> None:
        """Have workers leave what nobody waits for any more."""
        if self._client.status == "running":
            self._client.cancel(list(self.pending))

    def _submit(self, function: Callable[..., Any], *given: Any) -> Future:
        with warnings.catch_warnings():
            # Cells of this process have to be sent.
            warnings.filterwarnings("ignore", message="Sending large graph")
            return self._client.submit(function, *given, pure=False)


@contextmanager
def _calls(client: Client, work: Callable[..., Any], most: int) -> Iterator[_Calls]:
    calls = _Calls(client, work, most)
    try:
        yield calls
    finally:
        calls.cancel()


def _received(work: Callable[..., R]) -> Callable[..., R]:
    """Return what was sent: the first worker has it then, and others get it from there."""
    return work


def _call(work: Callable[..., Iterable[R]], memory_budget: int, block: Any, *more: Any) -> tuple[list[R], int]:
    """Work on one block in one thread of a worker, which has others for other blocks."""
    n_done: list[int] = []
    with settings.override(verbosity=0, memory_budget=memory_budget), process_kept(alone=True), memory_reused():
        return list(work(block.read(), *more, n_done.append)), sum(n_done)
