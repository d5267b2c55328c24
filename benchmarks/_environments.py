"""Virtual environments of the tools that dko is measured against, made when they are first asked for."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent


class Unavailable(Exception):
    """An environment cannot be made; the message says why."""


def python_of(name: str) -> str:
    """Return the Python of the environment for ``requirements-{name}.txt``, and make it where it is not."""
    wanted = _HERE / f"requirements-{name}.txt"
    folder = _HERE / ".venv-peers" / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        # Two processes that ask at once would build one on top of the other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text() == wanted.read_text()):
            _make(wanted, folder, python)
            stamp.write_text(wanted.read_text())
    return str(python)


def _make(wanted: Path, folder: Path, python: Path) -> None:
    constraints = _HERE.parent / "constraints.txt"
    # Without a pip of its own: the one that is here installs into it, and Debian packages that of new ones apart.
    _call("-m", "venv", "--clear", "--without-pip", str(folder))
    _call("-m", "pip", "--python", str(python), "install", "--quiet", "-r", str(wanted), "-c", str(constraints))


def _call(*arguments: str) -> None:
    process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        raise Unavailable(f"`python {' '.join(arguments[:3])} ...` failed: {lines[-1]}")
