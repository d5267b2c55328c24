"""Reading arrays from a file that may come from anywhere: what it declares is checked before memory is taken for it."""

from __future__ import annotations

import math
import os
import zipfile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

# Bytes that the arrays of any file may take, and how many times its own size those of a large one may: numbers that
# have been learned hardly compress.
_ROOM, _RATIO = 100 * 2**20, 2
# Bytes of the directory at the end of a file, of some hundred arrays.
_DIRECTORY = 2**17


class Header(NamedTuple):
    """What a file declares of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Archive:
    """The arrays of an ``.npz`` file; anything but a whole file of plain arrays is refused.

    Parameters
    ----------
    file
        Open for reading.

    Attributes
    ----------
    size
        Bytes of the file.
    headers
        What it declares, by name.
    """

    def __init__(self, file: BinaryIO):
        self.size = _size_of(file)
        self._zip = zipfile.ZipFile(file)
        members = self._zip.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it holds a name twice")
        if sum(member.file_size for member in members) > max(_ROOM, _RATIO * self.size):
            raise ValueError("it declares arrays that are far larger than the file")
        self.headers = {member.filename.removesuffix(".npy"): self._header(member) for member in members}

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return arrays by name, whose sums of bytes are those that were written; objects are not opened."""
        return {name: self._read(name) for name in names}

    def _header(self, member: zipfile.ZipInfo) -> Header:
        plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not member.flag_bits & 1
        if not plain or not member.filename.endswith(".npy"):
            raise ValueError(f"{member.filename!r} in it is not a plain array")
        with self._zip.open(member) as stream:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError(f"{member.filename!r} in it is of another version of the format")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            declared = stream.tell() + math.prod(shape) * dtype.itemsize
        if dtype.kind not in "fiuU" or declared != member.file_size:
            raise ValueError(f"{member.filename!r} in it is not the array that it declares")
        return Header(shape, dtype)

    def _read(self, name: str) -> np.ndarray:
        with self._zip.open(f"{name}.npy") as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read()  # to the end, where the sum of all bytes is compared
        return array


def _size_of(file: BinaryIO) -> int:
    """Return the size of a file, and refuse one whose directory would take more memory than it does."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    end = file.read()
    long = end[:4] == b"PK\6\7" and size < 2**32
    if end[-22:-18] != b"PK\5\6" or long or int.from_bytes(end[-10:-6], "little") > _DIRECTORY:
        raise ValueError("it is not an archive of arrays, or is cut off")
    return size
