"""Blocks of a long computation, kept beside its target until all are there: one that was killed goes on with them."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._compat import stored
from .._core.messages import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of names, no two of which are the same by chance.
_BYTES = 16
# What a CSR matrix is made of.
_PARTS = ("data", "indices", "indptr")


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
    """Matrices of each block of a computation, in a hidden folder beside its target.

    They are found again by all that they are made from, so that none is ever taken for another.
    """

    def __init__(self, target: str | Path, made_from: str):
        # Not the name of the target itself, which may be as long as names can be.
        self._pattern = f".dko-blocks-{digest(Path(target).name)[:8]}-*"
        self.folder = Path(target).absolute().with_name(self._pattern.replace("*", made_from))
        self._on = True

    def get(self, name: str, shape: tuple[int, int]) -> list[sparse.csr_matrix] | None:
        """Return the matrices of a block; None where they are not there, or are damaged."""
        # A file that is damaged is as good as none.
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # numpy leaves a file open that is no archive.
            with (self.folder / f"{name}.block").open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                n_matrices = len(file.files) // len(_PARTS)
                parts = [tuple(file[f"{part}_{i}"] for part in _PARTS) for i in range(n_matrices)]
            found = [stored(of_one, shape=shape) for of_one in parts]
            for one in found:
                one.check_format()
            return found
        return None

    def put(self, name: str, matrices: Sequence[sparse.csr_matrix]) -> None:
        """Keep the matrices of a block; without room, none is kept."""
        if not self._on:
            return
        arrays = {f"{part}_{i}": getattr(one, part) for i, one in enumerate(matrices) for part in _PARTS}
        temporary = self.folder / f"{name}.part"
        try:
            self.folder.mkdir(exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            temporary.replace(self.folder / f"{name}.block")
        except OSError:
            self._on = False
            self._remove()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Remove all blocks in the end; but keep them where the user stops the computation, and say so."""
        if n_blocks := len(list(self.folder.glob("*.block"))):
            say(f"Going on with a scan that was stopped: {n_blocks} blocks of cells are there.")
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self.folder.exists():
                say(f"Stopped. The same call goes on from here; delete {str(self.folder)!r} if there will be none.")
            raise
        except BaseException:
            self._remove()
            raise
        self._remove()

    def _remove(self) -> None:
        for folder in self.folder.parent.glob(self._pattern):
            shutil.rmtree(folder, ignore_errors=True)
