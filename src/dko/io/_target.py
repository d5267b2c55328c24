"""Targets: what a writer may replace, decided before any work and once more before anything is replaced."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .._core.messages import listed

# Names of what anndata, zarr and the macOS Finder put into a store: at the top, and of files at any depth.
_TOP = {"X", "layers", "obs", "obsm", "obsp", "raw", "uns", "var", "varm", "varp"}
_TOP |= {".zattrs", ".zgroup", ".zmetadata", "zarr.json", ".DS_Store"}
_FILE = re.compile(r"\.z(array|attrs|group|metadata)|zarr\.json|\.DS_Store|c|\d+(\.\d+)*")


def check_target(path: str | os.PathLike[str], *, store: bool = False) -> Path:
    """Refuse a target whose writing would fail or lose something; return what is behind it (docs/design.md).

    OSError: a folder or a device in the way, a missing folder, no permission; ValueError: no name that a file can have.
    """
    name, target = repr(str(path)), Path(path)
    names_folder = not store and isinstance(path, str) and path.endswith(("/", os.sep))
    if target.name in {"", ".."} or names_folder:
        raise ValueError(f"{name} is not the name of a {'.zarr store' if store else 'file'}; name one.")
    status = _status_of(target)
    target = Path(os.path.realpath(target)) if target.is_symlink() else target
    if store and status is None and restore(target):
        status = target.stat()
    if status is not None:
        _check_kind(target, status, name, store)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(target.parent)!r} does not exist; make it first.")
    _check_writable(target.parent)
    return target


def check_folder(folder: str | os.PathLike[str], names: Iterable[str] = ()) -> None:
    """Refuse a folder that cannot be made or written to, or in which one of these files could not be written."""
    there = Path(folder)
    if _status_of(there) is not None and there.is_dir():
        for name in names:
            check_target(there / name)
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(f"There is no folder {str(folder)!r}, and it cannot be made; choose another.")
    _check_writable(there)


def restore(target: Path) -> bool:
    """Put back a store whose replacement was cut short where two folders cannot be swapped in one step."""
    old = aside(target)
    if target.exists() or not os.path.isdir(old):  # nor has a folder a name that is too long
        return False
    os.replace(old, target)
    return True


def aside(target: Path) -> Path:
    """Return where a store is for the moment between two renames, in which there is none at `target`."""
    return target.with_name(f".{target.name}.dko-replaced")


def _status_of(path: Path) -> os.stat_result | None:
    """Return what is behind a path, None if there is nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise type(error)(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    except ValueError as error:  # a zero byte, or what the file system cannot spell
        raise ValueError(f"{str(path)!r} is not a name that a file can have.") from error


def _check_kind(target: Path, status: os.stat_result, name: str, store: bool) -> None:
    """Refuse what a file or a store cannot replace without loss."""
    if stat.S_ISDIR(status.st_mode):
        if not (store and _is_store(target)):
            raise IsADirectoryError(f"{name} is a folder with other content; choose another name.")
        if foreign := _foreign(target):
            raise IsADirectoryError(
                f"The store {name} also holds {listed(foreign)}, which does not belong to it and would be lost; move "
                "it away, or choose another name."
            )
    elif not stat.S_ISREG(status.st_mode):
        raise FileExistsError(f"{name} is not a regular file but a device, a pipe or a socket; choose another name.")
    elif store:
        raise NotADirectoryError(f"{name} is a file, and a .zarr store is a folder; choose another name.")
    if not status.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise PermissionError(f"{name} is read-only; make it writable or choose another name.")


def _is_store(folder: Path) -> bool:
    """Whether anndata says at the top of this folder that it has written it."""
    for name in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
            found = json.loads((folder / name).read_bytes())
            return bool(found.get("attributes", found)["encoding-type"] == "anndata")
    return False


def _foreign(store: Path) -> list[str]:
    """Return what a store holds that neither anndata nor zarr has put there: its name, or its path inside."""
    names = {entry.name for entry in store.iterdir()} - _TOP
    files = (Path(folder, name) for folder, _, names in os.walk(store) for name in names if not _FILE.fullmatch(name))
    return sorted(names | {str(file.relative_to(store)) for file in files})


def _check_writable(folder: Path) -> None:
    try:
        # Permissions alone do not show it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f"The folder {str(folder)!r} cannot be written to: {error.strerror}.") from error
