"""One call in several processes that are started for it: arguments in a file, the result or the error in another."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from dataclasses import fields
from logging.handlers import BufferingHandler
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any

import joblib
import torch
from lightning_fabric.plugins.environments import LightningEnvironment

from .._core.messages import bars, bars_shown, logger
from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.process import BaseProcess

_CALL, _FOUND, _ERROR = "call", "found", "error_"


def in_processes(function: Callable[..., Any], args: Sequence[Any], how: Mapping[str, Any], n: int) -> tuple[Any, bool]:
    """Call a function in `n` processes; return what it returns in the first, and whether the user pressed Ctrl-C.

    Arrays among the arguments are in memory once for all of them. What is raised in a process is raised here. Ctrl-C
    goes on to the processes, and ends them when it is pressed again.
    """
    given = {one.name: getattr(settings, one.name) for one in fields(settings)}
    given["verbosity"] *= bars_shown()
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(LightningEnvironment().main_port)}
    environment |= {"WORLD_SIZE": str(n), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "dko"}
    with TemporaryDirectory(prefix="dko_") as name:
        folder = Path(name)
        joblib.dump((function, args, how, given, max(1, torch.get_num_threads() // n)), folder / _CALL)
        context = get_context("spawn")
        processes = [context.Process(target=_be, args=(rank, folder, environment), daemon=True) for rank in range(n)]
        try:
            with _unseen():
                for process in processes:
                    process.start()
            interrupted = _wait(processes)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
        return _result(folder, processes, interrupted), interrupted


@contextmanager
def _unseen() -> Iterator[None]:
    """Start processes that do not run the user's script again, and that Ctrl-C does not reach before they are ready."""
    main, mask = sys.modules["__main__"], getattr(signal, "pthread_sigmask", None)  # not on Windows
    before = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else None
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if mask:
            mask(signal.SIG_SETMASK, before)


def _wait(processes: Sequence[BaseProcess]) -> bool:
    """Wait until all processes are done, or one has failed; pass Ctrl-C on, and return whether it was pressed."""
    interrupted = False
    while running := [process for process in processes if process.is_alive()]:
        if any(process.exitcode for process in processes):
            break
        try:
            connection.wait([process.sentinel for process in running])
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process.pid or 0, signal.SIGINT)
    return interrupted


def _result(folder: Path, processes: Sequence[BaseProcess], interrupted: bool) -> Any:
    """Return what the first process has returned, once its messages are passed on; or raise what any has raised."""
    if (folder / _FOUND).exists() and not any(process.exitcode for process in processes):
        found, records = joblib.load(folder / _FOUND)
        for record in records:
            logger.handle(record)
        return found
    if interrupted:
        raise KeyboardInterrupt
    # Where one fails, others do because it is gone.
    if errors := sorted(folder.glob(f"{_ERROR}*"), key=lambda path: path.stat().st_mtime_ns):
        raise joblib.load(errors[0])
    code = next(process.exitcode for process in processes if process.exitcode)
    reason = ", usually for lack of memory" if code == -9 else ""
    raise RuntimeError(f"A training process ended unexpectedly (exit code {code}{reason}); try fewer devices.")


def _be(rank: int, folder: Path, environment: Mapping[str, str]) -> None:
    """Be one of the processes."""
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ |= {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    said = BufferingHandler(2**20)
    logger.addHandler(said)
    logger.propagate = False
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        function, args, how, given, n_threads = joblib.load(folder / _CALL, mmap_mode="c")
        torch.set_num_threads(n_threads)
        with settings.override(**given), bars(shown=rank == 0):
            found = function(*args, **how)
        if rank == 0:
            joblib.dump((found, said.buffer), folder / _FOUND)
        torch.distributed.destroy_process_group()
    except KeyboardInterrupt:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 (it is raised where the call was made)
        error.add_note(f"It was raised in process {rank}:\n{traceback.format_exc()}")
        joblib.dump(error, folder / f"part_{rank}")
        (folder / f"part_{rank}").rename(folder / f"{_ERROR}{rank}")
        sys.exit(1)


def _end_with_parent() -> None:
    """End this process as soon as the one that has started it is gone, however it went."""
    if parent := parent_process():
        parent.join()
    os._exit(1)
