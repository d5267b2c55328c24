"""What a ranking of genes can be drawn by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.fitted import NO_SIGNAL as FDR
from .._core.messages import listed
from ._finish import IMPACT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DOWNSTREAM", "FDR", "LABELS", "MEAN", "SIGNED", "chosen_value", "rates"]

DOWNSTREAM, MEAN = "downstream_mean", "impact_mean"
LABELS = {
    DOWNSTREAM: f"mean downstream impact ({IMPACT})",
    MEAN: f"mean impact, own share included ({IMPACT})",
    "specificity": "specificity (log2 ratio to other cells)",
    "fraction": "fraction of cells that express the gene",
}
# What can be below 0 is drawn around 0.
SIGNED = ("specificity",)


def chosen_value(value: str | None, table: pd.DataFrame, known: tuple[str, ...]) -> str:
    """Return the column to draw: the one asked for, or the best that there is."""
    there = [name for name in known if name in table]
    if value is None:
        return there[0]
    if value in there:
        return value
    if value in known:
        raise ValueError(
            f"value={value!r} is not in the ranking; run dko.tl.scan, and dko.tl.rank_genes for the same groups, first."
        )
    raise ValueError(f"value={value!r} must be one of {listed(known)}.")


def rates(table: pd.DataFrame) -> pd.Series | None:
    """Return the false discovery rates of downstream impacts: of a ranking, or else those of the fit, if any."""
    return next((table[name] for name in ("pval_adj", "signal") if name in table), None)
