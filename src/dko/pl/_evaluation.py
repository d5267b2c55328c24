"""The model between the floor and the ceiling of what can be predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import get
from .._core import keys
from .._core.messages import unknown
from .._core.verb import verb
from ..get._tables import predictions
from ._finish import COLORS, INSIDE, finish, panels

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

LABELS = {
    "pearson": "effect, Pearson correlation with the measured one",
    "spearman": "effect, Spearman correlation with the measured one",
    "pearson_centred": "effect beyond the mean training effect, Pearson correlation",
    "mse": "effect, mean squared error",
    "mse_corrected": "effect, mean squared error beyond the noise of the measurement",
    "calibration_slope": "effect, factor that is missing to the measured one",
    "relative_error": "effect, squared error over that of no change",
    "direction_20": "right signs among the 20 genes that change most",
    "direction_50": "right signs among the 50 genes that change most",
    "direction_fidelity": "right signs among the genes that are predicted to change most",
    "direction_reach": "changed genes down to which predicted signs stay right",
    "jaccard": "overlap of changed genes and of those predicted to change most",
    "auprc": "recovery of changed genes, average precision",
    "auroc": "recovery of changed genes, AUROC",
    "auroc_matched": "recovery of changed genes at matched expression, AUROC",
    "retrieval": "other knockouts that fit worse than the own",
    "retrieval_centred": "other knockouts that fit worse than the own, centred",
    "retrieval_cosine": "other knockouts that fit worse than the own, by the cosine",
    "similarity": "rank correlation with predictions for other knockouts",
    "impact_ranking": "impacts, Spearman correlation with measured sizes",
    "energy_distance": "energy distance from the perturbed cells",
    "mmd": "MMD from the perturbed cells",
}
# What the measurement itself has of a metric, and what that is called.
_CEILINGS = {
    "pearson": ("ceiling", "split-half agreement of the measurement"),
    "similarity": ("similarity", "measured effects"),
    "mse": ("mse", "noise of the measurement"),
    "energy_distance": ("energy_distance", "unperturbed cells from each other"),
    "mmd": ("mmd", "unperturbed cells from each other"),
}
# What is known without any shuffling; recovery has the share of genes that change.
_CHANCE = {
    **dict.fromkeys(("auroc", "auroc_matched", "direction_20", "direction_50", "direction_fidelity"), 0.5),
    **dict.fromkeys(("retrieval", "retrieval_centred", "retrieval_cosine"), 0.5),
    "pearson_centred": 0.0,
}
# Otherwise the first of these that has a value is the floor.
_FLOORS = ("permuted cells", "no change")
_MEASUREMENT, _REPLICATE = "measurement", "replicate"
_MODEL, _OTHER = COLORS[1], "0.35"


@verb
def evaluation(
    adata: AnnData | MuData,
    *,
    metric: str = "pearson",
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how well the model foretells measured knockouts, among the baselines, the best on top.

    A large dot is the mean over perturbations, with its 95 % interval; the small ones are perturbations. Dashed are the
    floor (chance, or where this is not known co-expression in permuted cells, or no change) and, where there is one,
    the value of the measurement itself, such as the agreement of its halves. Of ``similarity`` that value is best.

    Parameters
    ----------
    adata
        After :func:`dko.tl.evaluate`.
    metric
        One of the metrics there, such as ``"pearson"``, ``"direction_50"``, ``"retrieval"``, ``"impact_ranking"``.
    %(results)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        Nothing was evaluated, or no such metric.
    ValueError
        No method has a value of this metric.
    """
    summary = get.evaluation(adata, key=key, mod=mod)
    if metric not in LABELS:
        raise KeyError(unknown("metric", [metric], LABELS, "the evaluation"))
    rows = predictions(summary)
    rows = rows.dropna(subset=metric) if metric in rows else rows[:0]
    if rows.empty:
        raise ValueError(
            f"No method has a value of {metric!r}: some need at least 3 perturbations, or changed genes, or an SCCVAE."
        )
    merit = rows[metric] * (-1 if metric in keys.LOWER_IS_BETTER else 1)
    if metric == "similarity":
        merit = -(rows[metric] - summary.at[_MEASUREMENT, metric]).abs()
    if metric == "calibration_slope":
        merit = -(rows[metric] - 1).abs()
    rows = rows.loc[merit.sort_values(kind="stable").index]
    table = get.evaluation(adata, summary=False, key=key, mod=mod)
    points = _points(table, summary.attrs["over"], metric)
    axes, ours = panels(1, ax, size=(6.4, 0.9 + 0.3 * len(rows)), what="metric")
    _draw_references(axes[0], summary, metric)
    _draw(axes[0], rows, points, metric)
    over = summary.attrs["over"]
    known = _points(table, over, "size" if metric == "impact_ranking" else metric)
    n = max(int(np.isfinite(known[method]).sum()) for method in rows.index)
    which = f"{n} {'reliable ' if over == 'reliable' else ''}perturbation{'s' if n != 1 else ''}"
    axes[0].set_title(which, fontsize="medium")
    axes[0].set_xlabel(LABELS[metric])
    if axes[0].get_legend_handles_labels()[0]:
        if ours:
            axes[0].figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
        else:
            axes[0].legend(**{**INSIDE, "loc": "lower right"})  # beside the worst, where dots and ceiling leave room
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _points(table: pd.DataFrame, over: str, metric: str) -> dict[str, np.ndarray]:
    """Return the values of the perturbations that the summary is over, by method."""
    if metric not in table:
        return {}
    chosen = table.loc[_MEASUREMENT, ["predictable", "reliable"] if over == "reliable" else ["predictable"]] > 0
    chosen = chosen.all(axis=1).to_numpy()
    return {method: table.loc[method, metric].to_numpy()[chosen] for method in table.index.unique("method")}


def _draw_references(ax: Axes, summary: pd.DataFrame, metric: str) -> None:
    """Shade the floor and the ceiling, each with its line."""
    chance = summary.at[_MEASUREMENT, "base_rate"] if metric == "auprc" else _CHANCE.get(metric)
    floor = None if chance is not None else _floor(summary, metric)
    if chance is not None:
        _shade(ax, (chance, np.nan, np.nan), "0.6", "chance")
    if floor is not None:
        _shade(ax, _ends(summary.loc[floor], metric), "0.6", f"floor: {floor}")
    if metric in _CEILINGS:
        name, label = _CEILINGS[metric]
        _shade(ax, _ends(summary.loc[_MEASUREMENT], name), COLORS[2], label)
    elif _REPLICATE in summary.index:
        _shade(ax, _ends(summary.loc[_REPLICATE], metric), COLORS[2], "half of the measurement against the other")


def _floor(summary: pd.DataFrame, metric: str) -> str | None:
    return next((name for name in _FLOORS if name in summary.index and np.isfinite(summary.at[name, metric])), None)


def _ends(row: pd.Series, metric: str) -> tuple[float, float, float]:
    """Return a mean and the ends of its interval."""
    return row[metric], row[f"{metric}_low"], row[f"{metric}_high"]


def _shade(ax: Axes, ends: tuple[float, float, float], color: str, label: str) -> None:
    mean, low, high = ends
    if not np.isfinite(mean):
        return
    ax.axvline(mean, color=color, lw=1.2, ls="--", zorder=0, label=label)
    if np.isfinite(low):
        ax.axvspan(low, high, color=color, alpha=0.15, lw=0, zorder=0)


def _draw(ax: Axes, rows: pd.DataFrame, points: dict[str, np.ndarray], metric: str) -> None:
    for place, (method, row) in enumerate(rows.iterrows()):
        color = _MODEL if method == "model" else _OTHER
        mean, low, high = _ends(row, metric)
        known = points.get(str(method), np.empty(0))
        if len(known) > 1:
            ax.scatter(known, np.full(len(known), place), s=14, color=color, alpha=0.25, lw=0, zorder=1)
        if np.isfinite(low):
            ax.hlines(place, low, high, color=color, lw=2, zorder=2)
        ax.scatter(mean, place, s=48, color=color, zorder=3)
    ax.set_yticks(range(len(rows)), list(rows.index))
    for label in ax.get_yticklabels():
        label.set(color=_MODEL if label.get_text() == "model" else "black", fontsize="small")
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
