"""Import in a fresh process."""

from __future__ import annotations


def timeraw_import_parts() -> str:
    """Import everything that a user names."""
    return "from dko import datasets, get, io, metrics, pl, pp, tl"
