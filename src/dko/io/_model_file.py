"""Files of models, which may come from anywhere: what they declare is checked before memory is taken for it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from operator import methodcaller
from typing import Any, BinaryIO

import numpy as np

# Bytes that the arrays of any file may take, and how many times its own size those of a large one may: numbers that
# have been learned hardly compress.
_ROOM, _RATIO = 100 * 2**20, 2
# Bytes of the directory at the end of a file, of some hundred arrays.
_DIRECTORY = 2**17
# Bytes of any text, at four a character; that of a large file may be as large as the file, which is not compressed.
_LONGEST = 40_000_000
# Characters for each list, dictionary and name in them at least, as these take a hundred bytes each when parsed.
_PER_PART = 8
# Name of the entry that is no array, what it says of itself, and the name of the sum over all else.
_TEXT, _FORMAT, _DIGEST = "text", "dko-model-1", "digest"


def write_file(file: BinaryIO, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write content in plain types and arrays beside it."""
    body = json.dumps({"format": _FORMAT, **content}, default=methodcaller("tolist"))
    text = json.dumps({**json.loads(body), _DIGEST: _digest(body, arrays)})
    entries: dict[str, Any] = {_TEXT: text, **arrays}
    # Not compressed, of which numbers that have been learned become hardly smaller.
    np.savez(file, **entries)


def read_file(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return content and arrays; a ValueError, or that of a library, where it is not whole, or asks for much memory."""
    size = _size_of(file)
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it holds a name twice")
    if sum(member.file_size for member in members) > max(_ROOM, _RATIO * size):
        raise ValueError("it declares arrays that are far larger than the file")
    arrays = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    text = arrays.pop(_TEXT, np.empty(0))
    if text.shape or text.dtype.kind != "U":
        raise ValueError("it has no text that says what it holds")
    if text.nbytes > max(_LONGEST, size):
        raise ValueError("its text is too long")
    content = _parsed(str(text))
    body = json.dumps({name: value for name, value in content.items() if name != _DIGEST})
    # Files of version 0.1.0 have none.
    if _DIGEST in content and content[_DIGEST] != _digest(body, arrays):
        raise ValueError("it has been changed since it was written")
    return content, arrays


def _size_of(file: BinaryIO) -> int:
    """Return the size of a file, and refuse one whose directory would take more memory than it does."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    end = file.read()
    long = end[:4] == b"PK\6\7" and size < 2**32
    if end[-22:-18] != b"PK\5\6" or long or int.from_bytes(end[-10:-6], "little") > _DIRECTORY:
        raise ValueError("it is not an archive of arrays, or is cut off")
    return size


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return an array that is as large as it declares, whose sum of bytes is the one that was written; no objects."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename!r} in it is not a plain array")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename!r} in it is of another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        declared = stream.tell() + math.prod(shape) * dtype.itemsize
        if dtype.kind not in "fiuU" or declared != member.file_size:
            raise ValueError(f"{member.filename!r} in it is not the array that it declares")
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read()  # to the end, where the sum of all bytes is compared
    return array


def _parsed(text: str) -> dict[str, Any]:
    if sum(map(text.count, "[{:")) > 1_000 + len(text) // _PER_PART:
        raise ValueError("its text is not a list of names and numbers")
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError("it is of another format, or of a newer version of dko")
    return content


def _digest(body: str, arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256(body.encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return found.hexdigest()
