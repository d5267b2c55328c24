"""Writing files so that there is never half of one, and nothing that was there is lost."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from .._core.process import uninterrupted
from ._target import aside, check_target

# Folders in which something is being written: where, by which process, and something random.
_PARTIAL = re.compile(r"\.dko-partial-([0-9a-f]{8})-(\d+)-\w{8}")
# After this time also those go whose process cannot be looked up, as it ran on another machine.
_SECONDS = 30 * 24 * 60 * 60
# Looks in a row at which a folder has to be gone, at most so many in all, and the seconds between.
_LOOKS, _MOST_LOOKS, _PAUSE = 5, 100, 0.02
# What to do where a disk is full, or a limit is reached.
_REMEDIES = {
    errno.ENOSPC: "; make room there, or name another folder",
    errno.EDQUOT: "; delete files of yours there, or name another folder",
    errno.EFBIG: "; raise the limit of the size of a file (ulimit -f), or name another folder",
}


@contextmanager
def atomic(path: str | os.PathLike[str], *, store: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move what was written there to `path` once the block has ended well.

    For files and, with `store`, folders (zarr); docs/design.md, What a writer replaces. The path has no ending: writers
    that choose the format by it need it named.
    """
    try:
        with _workplace(check_target(path, store=store).parent, store) as folder:
            temporary = folder / "partial"
            yield temporary
            target = check_target(path, store=store)
            if not store:
                with temporary.open("r+b") as file:
                    os.fsync(file)  # so that a power failure leaves the old file or the new one
            if target.exists():
                _resemble(temporary, target)
            if store and target.exists():
                _swap(temporary, target)
            else:
                os.replace(temporary, target)
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        remedy = _REMEDIES.get(error.errno or 0, "")
        sentence = f"{str(path)!r} could not be written: {error.strerror}{remedy}. What was there is unchanged."
        raise OSError(sentence) from error


@contextmanager
def _workplace(parent: Path, store: bool) -> Iterator[Path]:
    """Make a folder that bears the mark of this process and is gone afterwards; remove those of dead processes."""
    with suppress(OSError):
        for entry in os.scandir(parent):
            found = _PARTIAL.fullmatch(entry.name)
            if found and entry.is_dir(follow_symlinks=False) and _abandoned(entry, found[1], int(found[2])):
                shutil.rmtree(entry, ignore_errors=True)
    folder = parent / f".dko-partial-{_here()}-{os.getpid()}-{token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    except BaseException:
        with uninterrupted():
            _remove(folder) if store else shutil.rmtree(folder, ignore_errors=True)
        raise
    with uninterrupted():
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove a store until it stays away: where one chunk fails, zarr still writes others, in other threads."""
    n_gone = 0
    for _ in range(_MOST_LOOKS):
        shutil.rmtree(folder, ignore_errors=True)
        n_gone = 0 if folder.exists() else n_gone + 1
        if n_gone == _LOOKS:
            break
        time.sleep(_PAUSE)


def _here() -> str:
    """Mark of the machine, its start and the container, within which process numbers are unique."""
    words = [platform.node()]
    with suppress(OSError):
        words += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return f"{zlib.crc32(' '.join(words).encode()):08x}"


def _abandoned(entry: os.DirEntry[str], here: str, process: int) -> bool:
    if here != _here() or os.name == "nt":  # where asking for a process ends it
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _SECONDS
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of another user; not a number of a process
        pass
    return False


def _resemble(temporary: Path, target: Path) -> None:
    """Give what was written the owner, mode and extended attributes of what it replaces."""
    status = target.stat()
    with suppress(OSError, AttributeError):  # files of other users, and Windows
        os.chown(temporary, status.st_uid, status.st_gid)
    shutil.copystat(target, temporary)
    os.utime(temporary)  # but not its time


def _swap(new: Path, target: Path) -> None:
    """Replace a folder in one step (Linux, macOS) or in two renames; a kill between them is mended by the next look."""
    if _exchange(new, target):
        return
    old = aside(target)
    shutil.rmtree(old, ignore_errors=True)  # it has been replaced, as there is a target
    os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        os.replace(old, target)
        raise
    os.replace(old, new)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where this system or file system cannot."""
    names = os.fsencode(a), os.fsencode(b)
    with suppress(AttributeError, TypeError):  # no such function; no such library on Windows
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return not library.renamex_np(*names, 2)
        here = -100  # AT_FDCWD: relative names are those of this process
        return not library.renameat2(here, names[0], here, names[1], 2)
    return False
