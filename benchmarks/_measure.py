"""Time and memory of one call.

Only the standard library, so that it works in environments without dko.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MB = 1e6


def measure(call: Callable[[], object], warm_up: Callable[[], object] | None = None) -> dict[str, float]:
    """Time `call`; what only a first call costs goes to `warm_up`, measured apart.

    Returns
    -------
    ``wall`` and ``cpu`` (all threads) in seconds, ``extra`` (highest resident memory during the call, above what there
    was before it) and ``peak`` (highest resident memory of the process up to the end of the call) in MB of 1e6 bytes,
    and ``warm-up`` in seconds of wall time.
    """
    figures = {}
    if warm_up is not None:
        start = time.perf_counter()
        warm_up()
        figures["warm-up"] = time.perf_counter() - start
    earlier_peak = _peak()
    before = _forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    figures["wall"], figures["cpu"] = time.perf_counter() - wall, time.process_time() - cpu
    peak = _peak()
    return {**figures, "extra": (peak - before) / _MB, "peak": max(peak, earlier_peak) / _MB}


def _forget_peak() -> float:
    """Return the resident memory, and let the peak start from it where the system can (Linux)."""
    gc.collect()
    if not _CLEAR.exists():
        return _peak()
    # Freed memory that the allocator keeps would hide as much of what the call takes.
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    _CLEAR.write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    """Highest resident memory, in bytes."""
    if _STATUS.exists():
        # Not ru_maxrss, which a process on Linux inherits from the one that has started it.
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
