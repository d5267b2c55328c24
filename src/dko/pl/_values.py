"""What a ranking of genes can be drawn by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import listed
from ._finish import IMPACT

if TYPE_CHECKING:
    import pandas as pd

BEYOND, MEAN = "impact_beyond", "impact_mean"
LABELS = {
    BEYOND: "mean impact beyond expression (Bray-Curtis)",
    MEAN: f"mean impact ({IMPACT})",
    "impact_excess": f"mean impact without the gene's own share ({IMPACT})",
    "specificity": "specificity (log2 ratio to other cells)",
    "fraction": "fraction of cells that express the gene",
}
# What can be below 0 is drawn around 0.
SIGNED = (BEYOND, "specificity")
# False discovery rate up to which others go with a gene.
FDR = 0.05


def chosen_value(value: str | None, table: pd.DataFrame, known: tuple[str, ...]) -> str:
    """Return the column to draw: the one asked for, or the best that there is."""
    there = [name for name in known if name in table]
    if value is None:
        return there[0]
    if value in there:
        return value
    if value in known:
        raise ValueError(f"value={value!r} is not in the ranking; run dko.tl.rank_genes for the same groups first.")
    raise ValueError(f"value={value!r} must be one of {listed(known)}.")
