"""Sentences for genes that cannot be found."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData


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


def require_genes(wanted: Sequence[str], fitted: Sequence[str], adata: AnnData) -> None:
    """Raise a KeyError unless every wanted gene is part of the fit; say apart what is unknown and what was left out."""
    known = set(fitted)
    missing = [gene for gene in wanted if gene not in known]
    if not missing:
        return
    require_known(missing, adata)
    raise KeyError(
        f"The fit left out {listed(missing)} (it took {len(known)} of {adata.n_vars} genes); "
        "if any cell expresses it, name it in dko.tl.fit(adata, genes=[...]) and fit again."
    )


def require_known(genes: str | Sequence[str] | None, adata: AnnData) -> None:
    """Raise a KeyError unless all genes are in ``var_names``; of those that only ``raw`` has, say so."""
    named = [genes] if isinstance(genes, str) else [] if genes is None else [str(gene) for gene in genes]
    absent = [gene for gene in named if gene not in adata.var_names]
    if not absent:
        return
    refuse_of_raw(absent, adata)
    raise KeyError(unknown("gene", absent, adata.var_names, "var_names"))


def refuse_of_raw(absent: Sequence[str], adata: AnnData) -> None:
    """Raise a KeyError where genes are in ``raw`` and not in ``var_names``."""
    raw = [] if adata.raw is None else adata.raw.var_names
    if in_raw := [gene for gene in absent if gene in raw and gene not in adata.var_names]:
        raise KeyError(
            f"{listed(in_raw)}: in adata.raw but not in var_names, which has {adata.n_vars} of its {len(raw)} genes, "
            "perhaps the highly variable ones. Results are stored beside X: keep these genes among the chosen ones, "
            "and fit again."
        )
