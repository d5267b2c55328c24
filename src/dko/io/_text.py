"""The text of a model file: what a model is beside its arrays, and a digest that tells whether either was changed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

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
