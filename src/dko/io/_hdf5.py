"""HDF5 files on disks that may fill: HDF5 that finds out ends the process sooner or later, and all that is in it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

# Bytes of a page that is kept in memory, and of the largest piece that may be HDF5's own metadata; arrays are larger.
_PAGE, _LARGEST = 2**12, 2**20


class Disk(io.FileIO, os.PathLike[str]):
    """A new file for HDF5, which never learns that it could not be written: that is raised when asked for, or closed.

    Until then what it writes is kept in memory, as it reads some of that again. HDF5 calls this from C, where an
    exception is no better than a full disk: not in the main thread, which signals interrupt.
    """

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self._path = os.fspath(path)
        self._failed: OSError | None = None
        self._pages: dict[int, bytearray] = {}

    def __fspath__(self) -> str:
        """Return the path, for writers that open the file themselves."""
        return self._path

    def write(self, data: Any) -> int:
        """Write all of it, which the system may do in parts; into memory once anything was not written."""
        left = memoryview(data).cast("B")
        try:
            while left and self._failed is None:
                left = left[super().write(left) :]
        except OSError as error:
            self._failed = error
        if left and len(data) <= _LARGEST:
            for page, there, part in _pages(self.tell(), left):
                self._pages[page] = self._page(page)
                self._pages[page][there] = part
        return len(data)

    def readinto(self, data: Any) -> int:
        """Read from where it is."""
        into = memoryview(data).cast("B")
        first = self.tell()
        n_read = super().readinto(into)
        for page, there, part in _pages(first, into) if self._failed else ():
            part[:] = self._page(page)[there]
        return len(into) if self._failed else n_read

    def truncate(self, size: int | None = None) -> int:
        """Change the size; not if anything was not written."""
        try:
            return self.tell() if self._failed else super().truncate(size)
        except OSError as error:
            self._failed = error
            return self.tell()

    def check(self) -> None:
        """Raise what has gone wrong."""
        if self._failed is not None:
            raise self._failed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
        if kind is None or issubclass(kind, Exception):
            self.check()

    def _page(self, page: int) -> bytearray:
        if page not in self._pages:
            self.seek(page * _PAGE)
            return bytearray(self.read(_PAGE).ljust(_PAGE, b"\0"))
        return self._pages[page]


def _pages(first: int, data: memoryview) -> Iterator[tuple[int, slice, memoryview]]:
    """Yield the pages that data lie on from this byte on: which, where in it, and what is there."""
    done = 0
    while done < len(data):
        page, start = divmod(first + done, _PAGE)
        n = min(_PAGE - start, len(data) - done)
        yield page, slice(start, start + n), data[done : done + n]
        done += n
