"""Sentences for genes that cannot be found."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd


def listed(names: Iterable[object], limit: int = 5) -> str:
    """Spell out a few names: ``'A', 'B' and 7 more``."""
    names = list(names)
    shown = ", ".join(repr(str(name)) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def shown(value: object, limit: int = 60) -> str:
    """Spell out a value in one line, cut off where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[:limit]}..."


def unknown(what: str, wanted: Sequence[str], known: Iterable[str], where: str) -> str:
    """Say that names are not there, with the nearest names that are."""
    known = [str(name) for name in known]
    by_lower = {name.lower(): name for name in known}
    message = f"No {what} {listed(wanted)} in {where}."
    near = [by_lower[m] for m in get_close_matches(str(wanted[0]).lower(), list(by_lower), n=3, cutoff=0.6)]
    return f"{message} Did you mean {' or '.join(map(repr, near))}?" if near else message


def require_genes(wanted: Sequence[str], fitted: Sequence[str], var_names: pd.Index) -> None:
    """Raise a KeyError unless every wanted gene is part of the fit; say apart what is unknown and what was left out."""
    known = set(fitted)
    missing = [gene for gene in wanted if gene not in known]
    if not missing:
        return
    absent = [gene for gene in missing if gene not in var_names]
    if absent:
        raise KeyError(unknown("gene", absent, var_names, "var_names"))
    raise KeyError(
        f"The fit left out {listed(missing)} (it took {len(known)} of {len(var_names)} genes); "
        "if any cell expresses it, name it in dko.tl.fit(adata, genes=[...]) and fit again."
    )
