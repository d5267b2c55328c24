"""Blocks of a long computation, kept beside its target until all are there: one that was killed goes on with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._compat import stored
from .._core.messages import say
from ..models.base import like

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of names, no two of which are the same by chance.
_BYTES = 16


def digest(*parts: object) -> str:
    """Return a name for arrays and texts in this order, another one where any of them is another."""
    found = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            found.update(f"{part!r};".encode())
    return found.hexdigest()


class Kept:
    """Matrices of each block of a computation, of one structure, in a hidden folder beside its target.

    They are found again by all that they are made from, so that none is ever taken for another. Several processes may
    put them there; one makes the folder and takes them.
    """

    def __init__(self, target: str | Path, made_from: str):
        self._target = str(target)
        place = Path(os.path.realpath(target))  # where it is written, of a link
        # Not the name of the target itself, which may be as long as names can be.
        self._pattern = f".dko-blocks-{digest(place.name)[:8]}-*"
        self.folder = place.with_name(self._pattern.replace("*", made_from))
        self._room = True
        self._taken: list[str] = []
        # The last that this process has put there, which it need not read again.
        self._latest: dict[str, list[sparse.csr_matrix]] = {}

    def get(self, name: str, n_columns: int) -> list[sparse.csr_matrix] | None:
        """Return the matrices of a block; None where they are not there, or are damaged."""
        # A file that is damaged is as good as none.
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # numpy leaves a file open that is no archive.
            with self._file(name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                indices, indptr, *kinds = (file[name] for name in file.files)
            first = stored((kinds[0], indices, indptr), shape=(len(indptr) - 1, n_columns))
            first.check_format()
            return [like(first, data) for data in kinds]
        return None

    def put(self, name: str, matrices: Sequence[sparse.csr_matrix]) -> bool:
        """Keep the matrices of a block; False: there is no room, or no folder that this process and its maker share."""
        structure = {"indices": matrices[0].indices, "indptr": matrices[0].indptr}
        temporary = self._file(name).with_suffix(f".{token_hex(4)}")
        try:
            with temporary.open("wb") as file:
                np.savez(file, *(one.data for one in matrices), **structure)
            temporary.replace(self._file(name))
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            return False
        self._latest = {name: list(matrices)}
        return True

    def take(self, name: str, n_columns: int) -> list[sparse.csr_matrix]:
        """Return the matrices of a block that was put there."""
        found = self._latest.pop(name, None) or self.get(name, n_columns)
        if found is None:
            raise OSError(f"{str(self._file(name))!r} was written, and is gone or damaged; make the same call again.")
        self._taken.append(name)
        self._make_room()
        return found

    def no_room(self) -> None:
        """Remove each block as soon as it is taken."""
        self._room = False
        self._make_room()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Make the folder, and remove it in the end; but where the user stops the computation keep it, and say so.

        OSError: another one is on its way to the same target; each would remove what the other keeps.
        """
        is_new = False
        with suppress(OSError):
            self.folder.mkdir()
            is_new = True
        with ExitStack() as held:
            for folder in self.folder.parent.glob(self._pattern):
                if not held.enter_context(_held(folder)):
                    if is_new:
                        self.folder.rmdir()
                    raise OSError(
                        f"Another scan is writing {self._target!r} at this time; wait until it has ended, or name "
                        "another file."
                    )
            with self._going_on():
                yield

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        if n_blocks := self._n_blocks():
            say(f"Going on with a scan that was stopped; blocks of cells that are done: {n_blocks}.")
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if not self._n_blocks():
                self._remove()
            else:
                say(f"Stopped. The same call goes on from here; delete {str(self.folder)!r} if there will be none.")
            raise
        except BaseException:
            self._remove()
            raise
        self._remove()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.block"

    def _n_blocks(self) -> int:
        return len(list(self.folder.glob("*.block")))

    def _make_room(self) -> None:
        while self._taken and not self._room:
            self._file(self._taken.pop()).unlink(missing_ok=True)

    def _remove(self) -> None:
        for folder in self.folder.parent.glob(self._pattern):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Have a folder alone until the end of the block or of this process; False where somebody else has it."""
    if sys.platform == "win32":  # which locks no folders
        yield True
        return
    import fcntl

    with ExitStack() as opened:
        is_free = True
        # Removed at this time; a file system without locks.
        with suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, number)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                is_free = False
        yield is_free
