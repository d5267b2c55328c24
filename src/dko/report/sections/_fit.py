"""How well the fit predicts cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from ..._core.fitted import best_loss
from .._blocks import Column, Section, Text
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._run import Run

_COLUMNS = (
    Column("method", "prediction", "text"),
    Column("bray_curtis", "Bray-Curtis", note="mean dissimilarity of predicted and observed profile, 0 is best"),
    Column("spearman", "Spearman", note="over all expressed entries, 1 is best"),
    Column("spearman_within_gene", "within genes", note="the same within each gene, over the cells that express it"),
)
_TITLE = "Quality of the fit"


def fit(run: Run) -> Section:
    """Show the quality of the profiles, where the model has any, and the loss."""
    loss = picture(
        pl.history(run.adata, key=run.key, return_fig=True), "Training and validation loss against time of training"
    )
    if run.sccvae:
        history = get.history(run.adata, key=run.key)
        best = f"{best_loss(history):.4g}{' on average over the members' if keys.MEMBER in history else ''}"
        lead = f"The loss while the model trained; weights are those of the best validation, {best}."
        return Section("fit", _TITLE, lead, [loss], run.call("get.history"))
    lead = (
        "Profiles of cells that did not train, as predicted from which genes are present, beside predictions from "
        "means alone. A model that does not beat the last row has learned nothing about which genes are present."
    )
    return Section("fit", _TITLE, lead, [*_quality(run), loss], run.call("get.fit_quality", groupby=run.groupby))


def _quality(run: Run) -> list[Block]:
    if isinstance(run.quality, str):
        return [Text(f"The quality of the fit cannot be told: {run.quality}")]
    cells = f"{run.quality.attrs['n_cells']:,} {run.quality.attrs['split']} cells"
    drawn = pl.fit(run.adata, key=run.key, return_fig=True)
    return [
        table(run.quality.rename_axis("method").reset_index(), _COLUMNS, f"Profiles of {cells}, predicted by"),
        picture(drawn, f"Predicted against observed share of expression of {cells}"),
    ]
