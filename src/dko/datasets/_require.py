"""Arguments out of range."""

from __future__ import annotations


def require(condition: bool, otherwise: str) -> None:
    """Raise a ValueError with the sentence `otherwise` unless the condition holds."""
    if not condition:
        raise ValueError(f"{otherwise}.")
