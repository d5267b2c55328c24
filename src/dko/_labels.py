"""What a user may say for knockouts: a gene, a list of genes, tuples of genes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from . import _keys

Knockouts: TypeAlias = str | Sequence[str | Sequence[str]]


def gene_sets(genes: Knockouts) -> list[list[str]]:
    """Return the genes of each knockout, sorted.

    A tuple is a set of genes removed together, also when it is all that is given; a list holds knockouts.
    """
    if not isinstance(genes, Iterable):
        raise TypeError(f"genes={genes!r} is no name; {_MAY_BE}.")
    items = [genes] if isinstance(genes, str | tuple) else list(genes)
    sets = [list(item) if isinstance(item, Iterable) and not isinstance(item, str) else [item] for item in items]
    for members in sets:
        if wrong := [gene for gene in members if not isinstance(gene, str)]:
            raise TypeError(f"genes holds {wrong[0]!r}, which is no name; {_MAY_BE}.")
    if not sets or not all(members and all(members) for members in sets):
        raise ValueError(f"genes names no gene; {_MAY_BE}.")
    return [sorted(set(members)) for members in sets]


_MAY_BE = "give a symbol, a list of symbols, or tuples of symbols"


def labels_of(genes: Knockouts) -> list[str]:
    """Return the labels of knockouts; what is a label already stays as it is."""
    return [_keys.label(members) for members in gene_sets(genes)]
