"""The sections of a report, from which the command line prints its tables too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm

from .._compat import embedding, layer_names
from .._core import keys, results
from .._core.cells import read_basis
from .._core.fitted import best_loss
from .._core.messages import drawn_of, many
from .._core.names import DROPPED, HELD_OUT, TRAINED
from .._core.results import Result, read_params
from .._core.tables import Table, table_of
from ..get._evaluation import predictions, scored
from ..models.base import FDR
from ..pl._embedding import MOST_POINTS, colored_cells, points
from ..pl._ranking import rates
from ._run import Ranking, Run

# Area of a point in square points, times the number of cells; and the largest.
_POINT_AREA, _LARGEST = 60_000, 60.0
# Panels of a picture that keep the overview; names in a row.
_MOST_PANELS, _N_NAMES = 6, 5
_LARGEST_FIRST: dict[str, Any] = {"key": np.abs, "ascending": False, "kind": "stable"}


class Picture(NamedTuple):
    """A picture that has not been drawn yet, and what a reader who cannot see it reads."""

    alt: str
    draw: Callable[[], Any]


# A string is a sentence about these results.
Blocks: TypeAlias = Iterator[str | Table | Picture]


def _first(rows: pd.DataFrame, n: int, *by: str) -> pd.DataFrame:
    there = [name for name in by if name in rows]
    return rows.groupby(there, observed=True, sort=False).head(n) if there else rows.head(n)


def _table(result: Result, rows: pd.DataFrame, caption: str, name: str = keys.TABLE) -> Table:
    return table_of(rows, result.columns[name], caption)


def _drawn(run: Run, alt: str, name: str, *words: Any, **how: Any) -> Picture:
    return Picture(alt, partial(run.draw, name, *words, **how))


def _perturbations(run: Run) -> Blocks:
    rows = run.fitted.table(keys.PERTURBATIONS)
    yield ", ".join(f"{(rows['role'] == role).sum():,} {role}" for role in (TRAINED, HELD_OUT, DROPPED)) + "."
    rows = rows.sort_values("strength", ascending=False, kind="stable")
    yield _table(results.PERTURBATIONS, rows, "Perturbations, the strongest first")


def _fit(run: Run) -> Blocks:
    if isinstance(run.quality, str):
        yield f"The quality of the fit is unknown: {run.quality}"
    elif run.quality is not None:
        n_cells, n_split, split = (run.quality.attrs[name] for name in ("n_cells", "n_split", "split"))
        cells = drawn_of(n_cells, n_split, f"{split} cell")
        rows = run.quality.reset_index(names="method")
        yield (
            "Profiles are predicted from which genes are present, and from means alone. A model that does not beat the "
            "last row has learned nothing about which genes are present."
        )
        yield _table(results.QUALITY, rows, f"Profiles of {cells}, predicted by")
        yield _drawn(run, f"Predicted against observed share of expression of {cells}", "fit")
    if keys.HISTORY in run.fitted.tables:
        history = run.get("history")
        members = " on average over the members" if keys.MEMBER in history else ""
        yield f"Best validation loss: {best_loss(history):.4g}{members}."
        yield _drawn(run, "Training and validation loss against time of training", "history")


def _evaluation(run: Run) -> Blocks:
    summary = run.get("evaluation")
    measured, rows = summary.loc["measurement"], predictions(summary)
    gain = "; above {}: {}".format(*best) if (best := best_baseline(rows)) else ""
    yield f"Means over {scored(summary)}. Pearson of the model: {_interval(rows.loc['model'], 'pearson')}{gain}."
    yield (
        f"Ceiling: the effects in two halves of the measured cells correlate at {measured['ceiling']:.3f}, and a "
        f"perfect prediction would reach {measured['ceiling_whole']:.3f}. AUPRC by chance: {measured['base_rate']:.3f}."
    )
    if summary.attrs["n_perturbations"] > 1:
        yield f"Similarity of the measured effects: {measured['similarity']:.3f}."
    shown = [column.name for column in results.EVALUATION.columns[keys.SUMMARY] if column.name in rows]
    rows = rows.dropna(how="all", subset=shown).sort_values("pearson", ascending=False).reset_index(names="method")
    yield _table(results.EVALUATION, rows, "Scores, best correlation first", keys.SUMMARY)
    yield _drawn(run, "Correlation of predicted and measured effects", "evaluation")


def best_baseline(rows: pd.DataFrame) -> tuple[str, str] | None:
    others = rows["pearson"].drop("model").dropna()
    return None if others.empty else (str(others.idxmax()), _interval(rows.loc[others.idxmax()], "pearson_gain", "+"))


def _interval(row: pd.Series, name: str, sign: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{sign}.3f}" + (f" (95 % interval {low:{sign}.3f} to {high:{sign}.3f})" if low == low else "")


def _ranking(run: Run) -> Blocks:
    there = [found for found in run.rankings if not found.table.empty]
    for found in run.rankings:
        which = "over all cells" if found.groupby is None else f"in each group of {found.groupby}"
        where = {"groupby": found.groupby, "key_added": found.place}
        if found.table.empty:
            yield f"Too few cells express any gene to rank genes {which}."
            continue
        if "group" in found.table:
            yield _table(results.RANKING, _groups(run, found), f"Groups of {found.groupby}", keys.GROUPS)
            if found.table["group"].nunique() > 1:
                alt = f"Downstream impact of the first genes of each group in all groups of {found.groupby}"
                yield _drawn(run, alt, "heatmap", **where, n_genes=3, kind="dots")
        yield _drawn(run, f"Downstream impact of the first genes {which}", "ranking", **where, sharex=False)
        rows = _first(found.table, run.n_rows, "group")
        yield _table(results.RANKING, rows, f"The first {run.n_rows} genes {which}")
    if run.basis is not None and there:
        if run.groupby is not None:
            yield _colored(run, run.basis, run.groupby)
        first = there[0].table
        first = _first(first, 1, "group") if "group" in first else first
        yield _impacts(run, list(first["gene"].astype(str).unique()))


def _groups(run: Run, found: Ranking) -> pd.DataFrame:
    of_group, known = found.table.groupby("group", observed=True), rates(found.table)
    first = of_group["gene"].agg(lambda genes: ", ".join(genes.astype(str).head(_N_NAMES)))
    rows = pd.DataFrame({"n_ranked": of_group.size(), "first": first}).reset_index()
    rows["n_cells"] = rows["group"].astype(str).map(run.groups.value_counts())
    if known is not None:
        rows["n_found"] = (known <= FDR).groupby(found.table["group"], observed=True).sum().to_numpy()
    return rows


def _knockouts(run: Run) -> Blocks:
    rows = run.fitted.table(keys.KNOCKOUTS)
    rows = rows if run.labels is None else rows[rows["label"].isin(run.labels)]
    impact = run.get("impact", [str(label) for label in rows["label"]])
    rows["mean"], rows["max"] = impact.mean().to_numpy(), impact.max().to_numpy()
    rows["q25"], rows["q75"] = impact.quantile([0.25, 0.75]).to_numpy()
    rows = rows.sort_values("mean", ascending=False, kind="stable")
    yield _table(results.KNOCKOUTS, rows, "Named knockouts, the largest mean impact first")
    labels = list(rows["label"].astype(str))
    if run.basis is not None:
        yield _impacts(run, labels)
    profiled = [label for label in labels if keys.ko_layer(run.key, label) in layer_names(run.adata)][:4]
    if profiled and run.fitted.model.where == "all":
        yield _drawn(run, f"Mean profiles before and after {', '.join(profiled)}", "profile", profiled, n_genes=15)


def _affected(run: Run) -> Blocks:
    found = run.get("affected_genes", run.labels)
    by = [name for name in ("knockout", "group") if name in found]
    groups = None
    if "group" in found:  # those with most affected genes
        n_found = (found["pval_adj"] <= FDR).groupby(found["group"].astype(str), sort=False).sum()
        groups = [str(group) for group in n_found.nlargest(_MOST_PANELS).index]
    first = [str(name) for name in found["knockout"].unique()][: max(1, _MOST_PANELS // len(groups or [""]))]
    alt = f"Change of each gene and its significance, after knocking out {', '.join(first)}"
    alt += f", in {', '.join(groups)}" if groups else ""
    yield _drawn(run, alt, "effect", first, group=groups, n_genes=8, ncols=3)
    if found["knockout"].nunique() > 1:
        yield _drawn(run, "Change of the genes that change most, after each knockout", "effect", kind="heatmap")
    significant = found["pval_adj"] <= FDR
    marks = found[[*by, "n_cells"]].assign(
        lowered=significant & (found["z"] < 0),
        raised=significant & (found["z"] > 0),
        agree=(found["change"] * found["z"] > 0).astype(float).where(significant),
        n_specific=significant & found["specific"],
    )
    how = {"n_cells": "first", "lowered": "sum", "raised": "sum", "agree": "mean", "n_specific": "sum"}
    counts = marks.groupby(by, observed=True).agg(how).reset_index()
    yield _table(results.AFFECTED, counts, "Genes that change", keys.SUMMARY)
    rows = _first(found, run.n_rows, *by).sort_values(by, kind="stable")
    rows = rows.assign(is_specific=rows["specific"].map({True: "yes", False: "no"}))
    caption = f"The first {run.n_rows} genes per {' and '.join(by)}, the smallest p-value first"
    yield _table(results.AFFECTED, rows, caption)


def _enrichment(run: Run) -> Blocks:
    rows = _first(run.get("enrichment").sort_values("score", **_LARGEST_FIRST), run.n_rows, "knockout", "group")
    yield _table(results.ENRICHMENT, rows, "Sets of genes, the largest score first")


def _interactions(run: Run) -> Blocks:
    found = run.get("interactions")
    classes = ", ".join(f"{n:,} {name}" for name, n in found["class"].value_counts().items() if n)
    yield f"Of {many(len(found), 'pair')}: {classes}."
    rows = _first(found.sort_values("z", **_LARGEST_FIRST), run.n_rows, "group")
    yield _table(results.INTERACTIONS, rows, "Pairs of genes, the largest z first")
    groups = list(dict.fromkeys(found["group"].astype(str)))[:4] if "group" in found else [None]
    for group in groups:
        for kind in ("matrix", "network"):
            alt = f"Pairs of genes that interact{'' if group is None else f' in {group}'}, as a {kind}"
            yield _drawn(run, alt, "pairs", kind=kind, group=group)


def _clusters(run: Run) -> Blocks:
    place, umap, found = keys.cluster(run.key), keys.impact_umap(run.key), run.get("clusters")
    yield f"Found {many(found['cluster'].nunique(), 'cluster')}."
    if keys.AGREEMENT in run.adata.uns[place]:
        known = run.get("clusters", what="agreement").iloc[0]
        yield (
            f"They agree with {known['groupby']} at an adjusted mutual information of {known['ami']:.2f} and an "
            f"adjusted Rand index of {known['ari']:.2f} (1 is the same, 0 chance)."
        )
    if place in run.adata.obs and umap in run.adata.obsm:
        for column in filter(None, (place, run.groupby)):
            yield _colored(run, umap, column)
    rows = _first(found, max(3, run.n_rows // 4), "cluster")
    yield _table(results.CLUSTERS, rows, "Knockouts that mark each cluster, best first", keys.MARKERS)


def _identity(run: Run) -> Blocks:
    found, basis = run.get("identity"), str(read_params(run.adata, results.IDENTITY, run.key)["basis"])
    how: dict[str, Any] = {"basis": basis, "color": run.groupby if run.groupby in run.adata.obs else None}
    yield _drawn(run, f"Mean shift of cells in the embedding {basis}", "shift", **how, kind="grid", ncols=2)
    size = "change" if "change" in found else "length"
    rows = _first(found.sort_values(size, **_LARGEST_FIRST), run.n_rows, "knockout")
    rows = rows.sort_values("knockout", kind="stable") if "type" in rows else rows
    yield _table(results.IDENTITY, rows, f"The {run.n_rows} largest per knockout")


def _doses(run: Run) -> Blocks:
    found, params = run.get("dose_response"), read_params(run.adata, results.DOSES, run.key)
    dose = "share of cells with the knockout" if params["mixture"] else "share of the gene or shift, in every cell"
    yield f"Dose: {dose}. Genes count as changed above {params['threshold']:g}."
    yield _drawn(run, f"Impact against dose of {', '.join(found['knockout'].astype(str).unique())}", "dose_response")
    yield _table(results.DOSES, found, "Dose response")


def _modules(run: Run) -> Blocks:
    members, markers = run.get("modules"), run.get("modules", what="markers")
    has_effect = members["module"] != keys.NO_EFFECT
    n_modules, n_without = members.loc[has_effect, "module"].nunique(), (~has_effect).sum()
    yield f"{many(len(members), 'knockout')}: {many(n_modules, 'module')}; without a significant effect: {n_without:,}."
    yield _drawn(run, "Map of the knockouts, coloured by module", "modules")
    rows = members.sort_values(["module", "strength"], ascending=[True, False])
    yield _table(results.MODULES, rows, "Members of the modules, the strongest first")
    rows = _first(markers, max(3, run.n_rows // 4), "module")
    yield _table(results.MODULES, rows, "Genes that mark each module", keys.MARKERS)
    if keys.AGREEMENT in run.adata.uns[keys.modules(run.key)]:
        known = run.get("modules", what="agreement")
        yield _table(results.MODULES, known, "Agreement with known groups", keys.AGREEMENT)


def _impacts(run: Run, labels: Sequence[str]) -> Picture:
    """Draw where knockouts have an impact, on a scale that shows the weak ones beside the strong."""
    labels, size = labels[:8], min(_POINT_AREA / min(run.adata.n_obs, MOST_POINTS), _LARGEST)
    alt = f"Impact in each cell, in the embedding {run.basis}, of the knockouts of {', '.join(labels)}"
    how: dict[str, Any] = {"norm": PowerNorm(0.5, vmin=0.0), "size": size, "frameon": False}
    return _drawn(run, alt, "impact", labels, basis=run.basis, **how)


def _colored(run: Run, basis: str, column: str) -> Picture:
    """Draw cells in an embedding, coloured by a column of ``obs``; cells without a place or a value are left out."""

    def draw() -> Any:
        _, places = read_basis(run.adata, basis)
        cells = colored_cells(run.adata, basis, places, column, as_names=True)
        shown, note = points(np.isfinite(places).all(axis=1) & cells.obs[column].notna().to_numpy())
        # A copy, because scanpy writes the colours that it chooses.
        cells = cells[shown].copy()
        figure, axes = plt.subplots(figsize=(5.0, 4.2), layout="constrained")
        size = min(_POINT_AREA / max(1, cells.n_obs), _LARGEST)
        embedding(cells, basis, color=column, title=f"{column}{note}", size=size, frameon=False, ax=axes, show=False)
        return figure

    return Picture(f"Cells in the embedding {basis}, coloured by {column}", draw)


# Name on the page, result, and what is shown of it.
SECTIONS: dict[str, tuple[Result, Callable[[Run], Blocks]]] = {
    "perturbations": (results.PERTURBATIONS, _perturbations),
    "fit": (results.QUALITY, _fit),
    "evaluation": (results.EVALUATION, _evaluation),
    "ranking": (results.RANKING, _ranking),
    "knockouts": (results.KNOCKOUTS, _knockouts),
    "affected": (results.AFFECTED, _affected),
    "enrichment": (results.ENRICHMENT, _enrichment),
    "interactions": (results.INTERACTIONS, _interactions),
    "clusters": (results.CLUSTERS, _clusters),
    "identity": (results.IDENTITY, _identity),
    "doses": (results.DOSES, _doses),
    "modules": (results.MODULES, _modules),
}
