"""Reading arrays from a file that may come from anywhere: what it declares is checked before memory is taken for it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .._typing import Iterable, Mapping


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
    """The arrays of an ``.npz`` file, its size and headers; anything but a whole file of plain arrays is refused."""

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
        found = {}
        for name in names:
            with self._zip.open(f"{name}.npy") as stream:
                found[name] = np.lib.format.read_array(stream, allow_pickle=False)
                stream.read()  # to the end, where the sum of all bytes is compared
        return found

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


def _size_of(file: BinaryIO) -> int:
    """Return the size of a file, and refuse one whose directory would take more memory than it does."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    end = file.read()
    long = end[:4] == b"PK\6\7" and size < 2**32
    if end[-22:-18] != b"PK\5\6" or long or int.from_bytes(end[-10:-6], "little") > _DIRECTORY:
        raise ValueError("it is not an archive of arrays, or is cut off")
    return size


FORMAT = "dko-model-1"
_FORMAT, _DIGEST = "format", "digest"

# Bytes of any text, at four a character; that of a large file may be as large as the file, which is not compressed.
_LONGEST = 40_000_000
# Characters for each list, dictionary and name in them at least, as these take a hundred bytes each when parsed.
_PER_PART = 8


def spelled(content: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> str:
    """Return the text for some content in plain types, and for the arrays beside it."""
    body = json.dumps({_FORMAT: FORMAT, **content}, default=_plain)
    return json.dumps({**json.loads(body), _DIGEST: _digest(body, weights)})


def check_length(n_bytes: int, of_file: int) -> None:
    """Refuse a text that would take far more memory than its file is large."""
    if n_bytes > max(_LONGEST, of_file):
        raise ValueError("its text is too long")


def parsed(text: str) -> dict[str, Any]:
    """Return the content of a text of this format, with its digest; a ValueError says what is wrong."""
    if sum(map(text.count, "[{:")) > 1_000 + len(text) // _PER_PART:
        raise ValueError("its text is not a list of names and numbers")
    content = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(content, dict) or content.get(_FORMAT) != FORMAT:
        raise ValueError("it is of another format, or of a newer version of dko")
    return content


def check_digest(content: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> None:
    """Refuse what has been changed since it was written; files of version 0.1.0 have no digest."""
    body = json.dumps({name: value for name, value in content.items() if name != _DIGEST})
    if content.get(_DIGEST, _digest(body, weights)) != _digest(body, weights):
        raise ValueError("it has been changed since it was written")


def _digest(body: str, weights: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256(body.encode())
    for name, array in sorted(weights.items()):
        found.update(f"{name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return found.hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its text holds a name twice")
    return found


def _plain(value: object) -> object:
    """Turn what pandas keeps in columns of objects into what JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved.")
