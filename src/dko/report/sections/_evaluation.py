"""Predicted against measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from ...get._tables import predictions
from .._blocks import Column, Missing, Section
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._run import Run

_COLUMNS = (
    Column("method", "method", "text"),
    Column("pearson", "Pearson", note="of predicted and measured effect"),
    Column("pearson_low", "95 % interval", "interval", upper="pearson_high"),
    Column("pearson_gain", "model above it", "signed", "difference of the Pearson correlations of the same knockouts"),
    Column("pearson_gain_low", "95 % interval of it", "interval", upper="pearson_gain_high"),
    Column("pearson_centred", "beyond", note="Pearson after subtracting the mean training effect from both"),
    Column("calibration_slope", "slope", note="factor that is missing to the measured size: 1 is right"),
    Column("relative_error", "error", note="squared error over that of no change: below 1 is a gain"),
    Column("direction_50", "signs", note="right ones among the 50 genes that change most, 0.5 by chance"),
    Column("auroc_matched", "AUROC", note="finding the genes that change, at matched expression, 0.5 by chance"),
    Column("retrieval", "retrieval", note="other knockouts that fit worse, 0.5 by chance"),
    Column("impact_ranking", "impacts", note="rank correlation of predicted and measured sizes"),
)


def evaluation(run: Run) -> Section | Missing:
    """Show the scores of the model among those of the baselines."""
    if keys.evaluation(run.key) not in run.adata.uns:
        call = run.call("tl.evaluate", perturbation_key="...", control="...")
        return Missing("Comparison with measured knockouts", call)
    summary = get.evaluation(run.adata, key=run.key)
    n, reliable = summary.attrs["n_perturbations"], summary.attrs["over"] == "reliable"
    shown = [column.name for column in _COLUMNS if column.name in summary]
    rows = predictions(summary).dropna(how="all", subset=shown).dropna(axis=1, how="all")
    rows = rows.sort_values("pearson", ascending=False, kind="stable", na_position="last")
    over = f"{n} {'reliable ' if reliable else ''}perturbation{'s' if n != 1 else ''}"
    ceiling = summary.at["measurement", "ceiling"]
    lead = (
        f"Effects that the model foretells, and those of baselines, against the measured ones: means over {over}. "
        f"Two halves of the measurement agree at a Pearson correlation of {ceiling:.2f}."
    )
    drawn = pl.evaluation(run.adata, key=run.key, return_fig=True)
    return Section(
        "evaluation",
        "Against measured knockouts",
        lead,
        [
            picture(drawn, "Correlation of predicted and measured effects, of the model and of baselines"),
            table(rows.rename_axis("method").reset_index(), _COLUMNS, "Scores, best correlation first"),
        ],
        run.call("get.evaluation"),
    )
