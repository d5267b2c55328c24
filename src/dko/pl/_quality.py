"""How good a model is: its losses, its predictions of held-out cells, and those of measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import apart, read_fitted
from .._core.knockouts import open_model
from .._core.messages import drawn_of, unknown
from ..get._evaluation import predictions, scored
from ..get._fit import held_out_cells, profiles_of
from ._panels import SHARE, dot, dress, line, name_rows, panels, series
from ._style import BLUE, DARK, GREEN, GREY, RED, plot

if TYPE_CHECKING:
    from .._typing import AnnData, Axes, MuData

LABELS = {
    "pearson": "effect, Pearson correlation with the measured one",
    "spearman": "effect, Spearman correlation with the measured one",
    "pearson_centred": "effect minus the mean training effect, Pearson correlation",
    "mse": "effect, mean squared error",
    "mse_corrected": "effect, mean squared error minus the noise of the measurement",
    "calibration_slope": "effect, measured size over predicted size",
    "relative_error": "effect, squared error over that of no change",
    "direction_20": "right signs among the 20 genes that change most",
    "direction_50": "right signs among the 50 genes that change most",
    "direction_fidelity": "right signs among the genes that are predicted to change most",
    "direction_reach": "changed genes down to which predicted signs stay right",
    "jaccard": "overlap of changed genes and of those predicted to change most",
    "auprc": "recovery of changed genes, average precision",
    "auroc": "recovery of changed genes, AUROC",
    "auroc_matched": "recovery of changed genes at matched expression, AUROC",
    "retrieval": "other knockouts that match worse than the true one",
    "retrieval_centred": "other knockouts that match worse than the true one, centred",
    "retrieval_cosine": "other knockouts that match worse than the true one, by the cosine",
    "similarity": "rank correlation with predictions for other knockouts",
    "impact_ranking": "impacts, Spearman correlation with measured sizes",
    "energy_distance": "energy distance from the perturbed cells",
    "mmd": "MMD from the perturbed cells",
}
# What is known without any shuffling; recovery has the share of genes that change.
_CHANCE = {
    **dict.fromkeys(("auroc", "auroc_matched", "direction_20", "direction_50", "direction_fidelity"), 0.5),
    **dict.fromkeys(("retrieval", "retrieval_centred", "retrieval_cosine"), 0.5),
    "pearson_centred": 0.0,
}
# The first of these that has a value is the floor; the first of those is what the measurement allows.
_FLOORS, _CEILINGS = ("chance", "permuted cells", "no change"), ("measurement", "replicate")
_MODEL, _OTHER = RED, DARK


@plot
def fit(
    adata: AnnData | MuData,
    *,
    split: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw predicted against observed relative expression of held-out cells.

    Of expressed entries (gene and cell) alone, the density; predictions below the axis lie on its edge. Spearman
    correlation and mean Bray-Curtis dissimilarity stand beside those of a prediction from each gene's mean in the
    training cells, of the same group where the fit had groups. At most 20,000 cells, chosen at random, are drawn.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(split)s
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.pl.fit(adata)
    """
    quality = get.fit_quality(adata, split=split, key=key, mod=mod)
    split, n_split = quality.attrs["split"], quality.attrs["n_split"]
    opened = open_model(adata, key, mod, device="auto", needs="reconstruct")
    held_out = profiles_of(opened, held_out_cells(opened, split)[0])
    observed = held_out.X
    predicted = np.asarray(held_out.layers["predicted"][observed.nonzero()]).ravel()  # 0 in cells without a model
    low, high = observed.data.min() / 1.5, max(observed.data.max(), predicted.max()) * 1.5
    drawn = panels(1, ax, size=(6.2, 4.6), what="fit")
    (panel,) = drawn.axes
    panel.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    scales: dict[str, Any] = {"xscale": "log", "yscale": "log", "bins": "log", "extent": [*np.log10([low, high])] * 2}
    found = panel.hexbin(observed.data, np.maximum(predicted, low), gridsize=50, mincnt=1, lw=0.2, **scales)
    # Inside the axes' own space: as high as the square, and axes that the user gave keep their size.
    panel.figure.colorbar(found, cax=panel.inset_axes((1.03, 0.0, 0.035, 1.0)), label="entries (gene and cell)")
    panel.plot([low, high], [low, high], color="black", lw=0.8, ls="--", label="predicted = observed")
    drawn.legend(panel.lines, "inside")
    own, mean = quality.loc["model"], quality.iloc[-1]
    dress(panel, xlabel=f"observed ({SHARE})", ylabel=f"predicted ({SHARE})")
    panel.spines[:].set_visible(True)  # of a square
    text = f"{drawn_of(held_out.n_obs, n_split, f'{split} cell')}, {observed.nnz:,} expressed entries\n"
    text += f"Spearman {own['spearman']:.3f} (gene mean: {mean['spearman']:.3f}), "
    text += f"Bray-Curtis {own['bray_curtis']:.3f} ({mean['bray_curtis']:.3f})"
    panel.set_title(text)
    return drawn.finish(show, return_fig)


@plot
def history(
    adata: AnnData | MuData,
    *,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw training (thin) and validation loss (thick) of a fit, and mark the best point, whose weights were kept.

    Against epochs where there was one validation per pass over the cells, otherwise against steps; a colour per model.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.pl.history(adata)
    """
    curves = apart(get.history(adata, key=key, mod=mod))
    time = "step" if any(curve["epoch"].duplicated().any() for curve in curves.values()) else "epoch"
    several = "" not in curves
    drawn = panels(1, ax, size=(7.0 if several else 5.0, 3.8), what="fit")
    (panel,) = drawn.axes
    color = DARK if several else BLUE
    handles = [line(color, "training", lw=0.8, alpha=0.6), line(color, "validation", lw=1.6)]
    for number, (name, curve) in enumerate(curves.items()):
        style = series(number)
        best = curve.loc[curve["validation_loss"].idxmin()]
        panel.plot(curve[time], curve["train_loss"], color=style["color"], lw=0.8, alpha=0.6, label="_training")
        panel.plot(curve[time], curve["validation_loss"], color=style["color"], lw=1.6, label="_validation")
        label = name or f"best: {best['validation_loss']:.3f} at {time} {int(best[time]):,}"
        mark = {"mec": "white", "ms": 8, "ls": "none", "label": label, **style}
        handles += panel.plot(best[time], best["validation_loss"], zorder=3, **mark)
    dress(panel, xlabel=time, ylabel=read_fitted(unwrap(adata, mod), key).model.loss)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawn.legend(handles, "beside" if several else "inside")
    return drawn.finish(show, return_fig)


@plot
def evaluation(
    adata: AnnData | MuData,
    *,
    metric: str = "pearson",
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw how well the model predicts measured knockouts, among the baselines, the best on top.

    A large dot is the mean over perturbations, with its 95 % interval; the small ones are perturbations. Dashed are the
    floor (chance, or else co-expression in permuted cells, or no change) and, where there is one, the value of the
    measurement itself (of ``"pearson"`` the agreement of its halves) or else of a replicate: a half of the cells as a
    prediction of the other. Of ``similarity`` that of the measurement is best.

    Parameters
    ----------
    adata
        After :func:`dko.tl.evaluate`.
    metric
        One of the metrics there, such as ``"pearson"``, ``"direction_50"``, ``"retrieval"``, ``"impact_ranking"``.
    %(plot)s

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, perturbation_key="perturbation", control="control")
    >>> dko.tl.evaluate(screen, perturbation_key="perturbation", control="control")
    >>> dko.pl.evaluation(screen, metric="pearson")
    """
    summary = get.evaluation(adata, key=key, mod=mod)
    if metric not in LABELS:
        raise KeyError(unknown("metric", [metric], LABELS, "the evaluation"))
    rows = _sorted(summary, metric)
    drawn = panels(1, ax, size=(6.4, 0.9 + 0.3 * len(rows)), what="metric")
    (panel,) = drawn.axes
    for label, (color, (mean, *interval)) in (references := _references(summary, metric)).items():
        panel.axvline(mean, color=color, lw=1.2, ls="--", zorder=0, label=label)
        if np.isfinite(interval).all():
            panel.axvspan(*interval, color=color, alpha=0.15, lw=0, zorder=0)
    values = get.evaluation(adata, summary=False, key=key, mod=mod)
    # Of the perturbations that the summary is over.
    chosen = values.loc["measurement", ["predictable", "reliable"][: 1 + (summary.attrs["over"] == "reliable")]] > 0
    points = values.get(metric, pd.Series(np.nan, values.index)).unstack("method")[chosen.all(axis=1)]
    for place, method in enumerate(rows.index):
        color = _MODEL if method == "model" else _OTHER
        mean, low, high = _ends(rows, method, metric)
        if len(points) > 1:
            panel.scatter(points[method], [place] * len(points), s=14, color=color, alpha=0.25, lw=0, zorder=1)
        if np.isfinite(low):
            panel.hlines(place, low, high, color=color, lw=2, zorder=2)
        panel.scatter(mean, place, s=48, color=color, zorder=3)
    name_rows(panel, rows.index, style="normal")
    for name in panel.get_yticklabels():
        name.set_color(_MODEL if name.get_text() == "model" else "black")
    dress(panel, scored(summary), LABELS[metric])
    handles = [
        line(_OTHER, "mean, 95 % interval", marker="o", ms=7, lw=2),
        dot(_OTHER, "a perturbation", ms=4, alpha=0.3),
    ]
    for label, (color, (_, *interval)) in references.items():
        band = ", its 95 % interval" if np.isfinite(interval).all() else ""
        handles.append(line(color, label + band, ls="--", lw=1.2))
    drawn.legend(handles if len(points) > 1 else handles[2:], ncols=2)
    return drawn.finish(show, return_fig)


def _sorted(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = predictions(summary)
    rows = rows.dropna(subset=metric) if metric in rows else rows[:0]
    if rows.empty:
        raise ValueError(
            f"No method has a value of {metric!r}: some need at least 3 perturbations, or changed genes, or an SCCVAE."
        )
    values = rows[metric]
    if metric in keys.LOWER_IS_BETTER:
        values = -values
    elif metric == "similarity":
        values = -(values - summary.at["measurement", metric]).abs()
    elif metric == "calibration_slope":
        values = -(values - 1).abs()
    return rows.loc[values.sort_values(kind="stable").index[::-1]]


def _ends(summary: pd.DataFrame, method: str, metric: str) -> tuple[float, ...]:
    return tuple(summary.loc[method, [metric, f"{metric}_low", f"{metric}_high"]])


def _references(summary: pd.DataFrame, metric: str) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Return the floor and the ceiling by label, each with its colour, its value and the ends of its interval."""
    chance = summary.at["measurement", "base_rate"] if metric == "auprc" else _CHANCE.get(metric, np.nan)
    found = {name: _ends(summary, name, metric) for name in (*_FLOORS, *_CEILINGS) if name in summary.index}
    found |= {"chance": (chance, np.nan, np.nan)}
    if metric == "pearson":
        found["measurement"] = _ends(summary, "measurement", "ceiling")
    known = {name for name, (value, *_) in found.items() if np.isfinite(value)}
    floor, ceiling = ([name for name in names if name in known][:1] for names in (_FLOORS, _CEILINGS))
    lines = {name: (name if name == "chance" else f"floor: {name}", GREY) for name in floor}
    halves = ", half against half" if metric == "pearson" or "replicate" in ceiling else ""
    lines |= {name: (f"{name}{halves}", GREEN) for name in ceiling}
    return {label: (color, found[name]) for name, (label, color) in lines.items()}
