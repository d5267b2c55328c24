"""Rankings, affected genes and interactions as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._tables import aligned

if TYPE_CHECKING:
    import pandas as pd

_FDR = 0.05
_RANK = {
    "group": "group",
    "gene": "gene",
    "downstream_mean": "downstream",
    "downstream_low": "from",
    "downstream_high": "to",
    "pval_adj": "FDR",
    "n_cells": "cells",
    "mark": "mark",
}
_AFFECTED = {
    "knockout": "knockout",
    "group": "group",
    "gene": "gene",
    "change": "change",
    "z": "z",
    "pval_adj": "FDR",
    "others": "others",
}
_PAIRS = {
    "group": "group",
    "gene_a": "gene",
    "gene_b": "and",
    "class": "class",
    "downstream": "downstream",
    "additive": "sum",
    "expected": "expected",
    "z": "z",
    "pval_adj": "FDR",
    "n_cells": "cells",
}
_N_ROWS = 20


def rank_table(found: pd.DataFrame) -> str:
    """List the first genes, of each group if there are groups."""
    top = _first(found, ["group"], 3) if "group" in found else found.head(10)
    n_found = int((found["pval_adj"] <= _FDR).sum())
    title = (
        "Keystone genes (downstream: mean impact on other genes, and its 95 % interval; FDR: of evidence that\n"
        f"other genes depend on it, up to {_FDR:g} for {n_found:,} of {len(found):,})"
    )
    return f"{title}\n{_spelled(top, _RANK)}"


def affected_table(found: pd.DataFrame) -> str:
    """List the surest genes of each knockout, and group."""
    by = [name for name in ("knockout", "group") if name in found]
    n_of = found[found["pval_adj"] <= _FDR].groupby("knockout", observed=True).size()
    counts = ", ".join(f"{n_of.get(name, 0):,} with {name}" for name in found["knockout"].unique())
    title = (
        f"Genes that change (up to an FDR of {_FDR:g}: {counts};\n"
        "change: of log1p(CP10k), predicted; z: in the cells, below 0 for a co-expressed gene;\n"
        "others: share of other knockouts that change it as much)"
    )
    return f"{title}\n{_spelled(_first(found, by, 5 if 'group' in found else 10), _AFFECTED)}"


def interaction_table(found: pd.DataFrame) -> str:
    """Count the pairs of each class, and list those that interact, the largest z first."""
    counts = ", ".join(f"{n:,} {name}" for name, n in found["class"].value_counts().items() if n)
    there = found[found["class"] != "additive"]
    there = there.loc[there["z"].abs().sort_values(ascending=False, kind="stable").index]
    title = f"Pairs of genes: {counts}"
    if there.empty:
        return f"{title}."
    text = f"{title} (downstream: impact on other genes; sum: both alone; expected: of unrelated genes)"
    left = len(there) - _N_ROWS
    more = f"\n... and {left:,} more." if left > 0 else ""
    return f"{text}\n{_spelled(there.head(_N_ROWS), _PAIRS)}{more}"


def _first(found: pd.DataFrame, by: list[str], n: int) -> pd.DataFrame:
    return found.groupby(by, observed=True).head(n).sort_values(by, kind="stable")


def _spelled(rows: pd.DataFrame, columns: dict[str, str]) -> str:
    there = {name: label for name, label in columns.items() if name in rows}
    text = {name: str for name in ("knockout", "group", "gene", "gene_a", "gene_b", "class") if name in rows}
    rates = rows["pval_adj"].map("{:.1e}".format)
    return aligned(rows.astype(text).assign(pval_adj=rates)[list(there)].rename(columns=there))
