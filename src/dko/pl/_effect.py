"""What knockouts change: genes with the evidence for it, and how this grows with the dose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.patches import Patch

from .. import get
from .._core import keys
from .._core.messages import require_one_of
from ._matrix import draw_matrix
from ._panels import FDR, IMPACT, Panels, add_names, dot, dress, line, name_rows, panels, series
from ._style import DARK, FALLS, GREY, PALE, RISES, plot

if TYPE_CHECKING:
    from .._typing import AnnData, Artist, Axes, Knockouts, MuData, Sequence

_CHANGE = "mean change of log1p(10,000 × share)"
_NONE, _OTHER, _SHARED = "not significant", "contradicts co-expression", ", not specific"
# Colour and transparency of the genes of a volcano, from the bottom up.
_STYLES = {
    _NONE: (PALE, 1.0),
    _OTHER: (DARK, 1.0),
    f"rises{_SHARED}": (RISES, 0.3),
    f"falls{_SHARED}": (FALLS, 0.3),
    "rises": (RISES, 1.0),
    "falls": (FALLS, 1.0),
}
_AREA = 14.0
# Of each height its column in the table, and its label.
_HEIGHTS = {
    "impact": ("impact_median", f"median impact ({IMPACT})"),
    "downstream": ("downstream_mean", f"mean downstream impact ({IMPACT})"),
    "distance": ("distance", "length of the mean change"),
    "n_changed": ("n_changed", "genes that change"),
    "latent": ("latent", "length of the latent shift"),
}


@plot
def effect(
    adata: AnnData | MuData,
    gene: str | Sequence[str] | None = None,
    *,
    kind: str = "volcano",
    group: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw which genes knockouts change, in which direction and how surely.

    Parameters
    ----------
    adata
        After :func:`dko.tl.affected_genes`.
    gene, group
        Knockouts and groups; all by default.
    kind
        ``"volcano"``: a panel per knockout (and group), the predicted change of each gene against its co-expression
        with the knocked-out one, all on one scale. Coloured at a false discovery rate of at most 5 %; pale, not
        specific, where more than 5 % of other knockouts change the gene as much; dark grey where the co-expression has
        the other sign and contradicts the change. ``"lollipop"``: of the coloured genes those that change most, what
        rises most on top, with intervals: the change times ``1 ± 1.96 / abs(z)``, as surely as the cells show the
        co-expression that it comes from; they do not include other errors of the model. ``"heatmap"``: knockouts (and
        groups) x the genes that change most in any of them, similar ones side by side; the knocked-out gene is grey.
    n_genes
        Coloured genes to name in each volcano, those that change most (8), in each lollipop (20), or genes in the
        heatmap (40).
    %(ncols)s
    kwargs
        For :meth:`matplotlib.axes.Axes.scatter` (volcano, lollipop) or :meth:`matplotlib.axes.Axes.imshow` (heatmap).
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.affected_genes(adata, "CD74")
    >>> dko.pl.effect(adata, "CD74")
    """
    require_one_of(("volcano", "lollipop", "heatmap"), kind=kind)
    table = get.affected_genes(adata, gene, group=group, key=key, mod=mod)
    names = ["knockout", *(["group"] if "group" in table else [])]
    parts = {" in ".join(map(str, name)): part for name, part in table.groupby(names, observed=True, sort=False)}
    if kind == "heatmap":
        changes = {
            title: part.set_index(part["gene"].astype(str))["change"].astype(float) for title, part in parts.items()
        }
        values = pd.DataFrame(changes).T
        # By rank, so that no knockout that changes many genes a lot takes all places.
        best = values.abs().rank(axis=1, ascending=False).min().sort_values(kind="stable").index[: n_genes or 40]
        how: dict[str, Any] = {"label": _CHANGE.replace("of", "of\n", 1), "grey": "knocked-out gene"}
        how |= {"signed": True, "italic_rows": "group" not in table}
        drawn, _ = draw_matrix(values[best], ax, **how, **kwargs)
    else:
        tested = {title: part[part["z"].notna()] for title, part in parts.items()}
        tested = {title: part.assign(kind=_kinds(part), height=part["z"].abs()) for title, part in tested.items()}
        shape = {"volcano": (4.2, 4.2), "lollipop": (3.6, 1.0 + 0.22 * (n_genes or 20))}
        shared = {"sharex": True, "sharey": kind == "volcano"}
        drawn = panels(len(parts), ax, size=shape[kind], ncols=ncols, what="knockout and group", **shared)
        if kind == "volcano":
            _draw_volcanoes(drawn, tested, n_genes or 8, kwargs)
        else:
            _draw_lollipops(drawn, tested, n_genes or 20, kwargs)
    return drawn.finish(show, return_fig)


def _draw_volcanoes(drawn: Panels, parts: dict[str, pd.DataFrame], n_names: int, kwargs: dict[str, Any]) -> None:
    for panel, (title, part) in zip(drawn.axes, parts.items(), strict=True):
        dress(panel, title, _CHANGE, "co-expression in the cells, |z|")
        for kind, (color, alpha) in _STYLES.items():
            rows, style = part[part["kind"] == kind], {"s": _AREA, "color": color, "alpha": alpha, "lw": 0, **kwargs}
            panel.scatter(rows["change"], rows["height"], **style)
        if (found := part["kind"] != _NONE).any():
            panel.axhline(part.loc[found, "height"].min(), color=DARK, lw=0.8, ls="--", zorder=0)
        panel.axvline(0, color=PALE, lw=0.8, zorder=0)
        panel.locator_params(axis="x", nbins=6)
        panel.margins(0.15, 0.08)
    for panel in drawn.axes:  # only now: whoever sets one end of a shared scale fixes the other
        panel.set_ylim(bottom=0)
    there = set(pd.concat(parts.values())["kind"])
    threshold = [line(DARK, f"FDR {FDR}", lw=0.8, ls="--")] if there - {_NONE} else []
    drawn.legend([*_handles(there), *threshold], ncols=2)
    drawn.label_outer()
    drawn.lay_out()
    for panel, part in zip(drawn.axes, parts.values(), strict=True):
        colored = _most_changed(part, n_names)
        all_genes = pd.concat([colored, part.drop(colored.index)])  # those without a name are in the way as well
        places, areas = all_genes[["change", "height"]].to_numpy(dtype=float), np.full(len(all_genes), _AREA)
        add_names(panel, places, colored["gene"].astype(str).to_list(), areas)


def _draw_lollipops(drawn: Panels, parts: dict[str, pd.DataFrame], n_genes: int, kwargs: dict[str, Any]) -> None:
    there: set[str] = set()
    for panel, (title, part) in zip(drawn.axes, parts.items(), strict=True):
        most = _most_changed(part, n_genes).sort_values("change", ascending=False, kind="stable")
        places, change, half = range(len(most)), most["change"], 1.96 * most["change"].abs() / most["height"]
        colors = [to_rgba(*_STYLES[kind]) for kind in most["kind"]]
        there |= set(most["kind"])
        panel.axvline(0, color=DARK, lw=0.8, zorder=0)
        panel.hlines(places, 0, change, colors=colors, lw=1.2, zorder=1)
        panel.hlines(places, change - half, change + half, colors="black", lw=0.8, zorder=3)
        panel.scatter(change, places, **{"s": 36, "c": colors, "lw": 0, "zorder": 2, **kwargs})
        panel.locator_params(axis="x", nbins=5)
        dress(panel, title, _CHANGE)
        name_rows(panel, most["gene"])
        if most.empty:
            panel.text(0.5, 0.5, f"no gene (FDR ≤ {FDR})", transform=panel.transAxes, ha="center", color=DARK)
    drawn.label_outer()
    drawn.legend([*_handles(there), line("black", "95 % interval", lw=0.8)], ncols=2)


def _most_changed(part: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the genes that change most, of those that do so both in the model and in the cells."""
    colored = part[~part["kind"].isin([_NONE, _OTHER])]
    return colored.sort_values("change", key=np.abs, ascending=False, kind="stable").head(n)


def _handles(there: set[str]) -> list[Artist]:
    styles = {kind: style for kind, style in reversed(_STYLES.items()) if kind in there}
    return [dot(color, kind, mew=0, alpha=alpha) for kind, (color, alpha) in styles.items()]


def _kinds(table: pd.DataFrame) -> np.ndarray:
    """Say of each gene whether it is significant, and whether it falls or rises both in the model and in the cells."""
    change, z = np.sign(table["change"]), np.sign(table["z"])
    agreed = np.char.add(np.where(change < 0, "falls", "rises"), np.where(table["specific"], "", _SHARED))
    return np.select([~(table["pval_adj"] <= FDR), (change != z) | (change == 0)], [_NONE, _OTHER], agreed)


@plot
def dose_response(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    y: str = "impact",
    n_responders: int = 6,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the effect of knockouts against their dose, a curve per knockout; for a single one also its genes.

    Parameters
    ----------
    adata
        After :func:`dko.tl.dose_response`.
    %(labels)s
    y
        ``"impact"``, own share included: its median over cells, with its quartiles as a band; ``"downstream"``, of the
        other genes alone, the mean; ``"distance"``, ``"n_changed"`` or, where the model has a latent space,
        ``"latent"``.
    n_responders
        Genes in the second panel, which there is not with `ax`.
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.dose_response(adata, "CD74", doses=[0, 0.5, 1])
    >>> dko.pl.dose_response(adata, "CD74")
    """
    table = get.dose_response(adata, genes, key=key, mod=mod)
    require_one_of([name for name, (column, _) in _HEIGHTS.items() if column in table], y=y)
    curves = dict(list(table.groupby("knockout", sort=False, observed=True)))
    second = len(curves) == 1 and ax is None
    drawn = panels(1 + second, ax, size=(4.6, 3.4), what="kind of curve")
    first, (column, label) = drawn.axes[0], _HEIGHTS[y]
    handles = _draw_curves(first, curves, column)
    if y == "impact":
        handles.append(Patch(color=GREY, alpha=0.3, lw=0, label="quartiles of the cells"))
        for number, part in enumerate(curves.values()):
            style = {"color": series(number)["color"], "alpha": 0.15, "lw": 0}
            first.fill_between(part["dose"], part["impact_q25"], part["impact_q75"], **style)
    (title, *others) = curves
    dress(first, "" if others else title, "dose", label)
    first.set_ylim(bottom=0)
    handles = handles if others else handles[1:]  # a single curve is named by the title
    if second:
        first.legend(handles=handles)
        changes = get.dose_response(adata, title, responders=True, key=key, mod=mod)
        genes_of = list(changes.groupby("gene", sort=False, observed=True))[:n_responders]
        handles = _draw_curves(drawn.axes[1], dict(genes_of), "change")
        drawn.axes[1].axhline(0, color=GREY, lw=0.8, zorder=0)
        dress(drawn.axes[1], f"genes that change most with {title}", "dose", "mean change of log expression")
    if handles:
        drawn.legend(handles, "beside", prop={"style": "italic" if second else "normal", "size": "small"})
    return drawn.finish(show, return_fig)


def _draw_curves(ax: Axes, curves: dict[str, pd.DataFrame], column: str) -> list[Artist]:
    lines: list[Artist] = []
    for number, (name, part) in enumerate(curves.items()):
        style = {"ls": (0, (4, 1.5)) if number % 2 else "-", **series(number)}  # of two that coincide both are seen
        lines += ax.plot(part["dose"], part[column], label=name, ms=3.5, lw=1.6, **style)
    return lines
