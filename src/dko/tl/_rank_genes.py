"""Keystone genes, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.fitted import NO_SIGNAL, check_place
from .._core.genes import KINDS
from .._core.groups import ALL, masks_of
from .._core.knockouts import open_model
from .._core.messages import listed, progress_of, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ._rank_table import Plan, as_scanpy, rank_group, read_scan

if TYPE_CHECKING:
    from .._core.groups import Names
    from .._typing import RNG, AnnData, MuData, Sequence

_SCORES = ("downstream_mean", "impact_mean", "specificity")


@verb
def rank_genes(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    groups: Names | None = None,
    by: str = "downstream_mean",
    exclude: str | Sequence[str] = (),
    n_bootstraps: int = 1_000,
    min_cells: int = 10,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    key_added: str | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Rank genes by what their knockouts do to other genes, overall or per group, with intervals and a test.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    groupby
        ``obs`` column, by default that of the fit, if any: a ranking per group.
    groups
        Names of the groups to rank in; all by default.
    by
        Column that genes are ranked by: ``"downstream_mean"``, ``"impact_mean"`` or, with groups, ``"specificity"``.
        Genes with a false discovery rate of at most 5 % come first, and in both parts those of at least 30 cells.
    exclude
        Marks of genes to leave out, also of the rates: ``"ribosomal"``, ``"mitochondrial"``, ``"few cells"``.
    n_bootstraps
        Draws of cells for the intervals.
    min_cells
        Leave out genes that fewer scanned cells (of the group) express.
    %(results)s
    rng
        Seed or generator of the bootstrap and, with direct effects, of permutations. What a group gets does not depend
        on which `groups` are asked for.
    key_added
        Where in ``uns`` and ``varm`` the result goes instead of ``f"{key}_ranking"``, where :func:`dko.get.ranking` and
        :func:`dko.pl.ranking` look for it; the column of ``var`` then is ``f"{key_added}_pval_adj"``.
    %(written)s

    ``uns[f"{key}_ranking"]``
        In the form of :func:`scanpy.tl.rank_genes_groups`, for ``sc.pl.rank_genes_groups(adata, key="dko_ranking")``:
        all genes in each group (``"all"`` without groups), ``scores`` those of `by`, ``logfoldchanges`` the specificity
        (0 where unknown), genes that are left out last; ``params`` and ``table``, a row per ``gene`` (and ``group``),
        best first, over the scanned cells that express the gene, whose columns follow.
    ``downstream_mean``, ``downstream_low``, ``downstream_high``, ``impact_mean``
        Mean downstream impact, by how much the knockout changes the other genes (Bray-Curtis dissimilarity, 0 to 1),
        and its 95 % interval by bootstrap over cells; mean impact, of which the gene's own share is a part.
    ``specificity``
        Of groups: log2 of the mean downstream impact over all scanned cells of the group (0 in cells that lack the
        gene) over that of all other scanned cells, after adding to both their median over genes; NaN without other
        cells.
    ``pval``, ``pval_adj``
        Of the downstream impact (see the notes), and by Benjamini and Hochberg within the group.
    ``n_cells``, ``fraction``, ``expression_mean``, ``mark``
        As in :func:`dko.get.ranking`. Marks are ``"mitochondrial"`` and ``"ribosomal"``, by the boolean column ``mt``
        or ``ribo`` of ``var`` or else by names (MT-, RPS, RPL); and ``"few cells"``, where fewer than 30 express the
        gene.
    ``var[f"{key}_pval_adj"]``, ``varm[f"{key}_ranking"]``
        Without groups: float32, NaN for other genes; with groups: a DataFrame of ``downstream_mean``, genes x groups.

    %(errors)s
        a `key_added` with "/" or of a model; no cell in any group; no other scanned cells to be specific against;
        expression that is not the one that was scanned.

    Notes
    -----
    The null of the p-value is that no other gene depends on this one. The downstream impact on the mean profile of the
    scanned cells (of the group) is compared with those of genes that about as many cells express and whose amounts are
    permuted over the cells, both by one standard deviation of the gene. A fit of total effects has kept these (of
    several models: the smallest p-value times their number). With direct effects total ones are estimated in these
    cells, and the p-value is of co-expression, not of the network. A correlation is no cause: a gene with a small
    p-value may follow what drives the others.

    On cells with every gene permuted independently, 4.6 to 5.4 % of the p-values are below 5 %, 4 to 6 % where no
    counts can be recovered from the values (``benchmarks/accuracy``, part calibration).
    """
    plan = Plan(by, (exclude,) if isinstance(exclude, str) else tuple(exclude), n_bootstraps, min_cells)
    _check(plan)
    data = writable(adata, copy, mod)
    predictor = open_model(data, key, mod, needs="scan")
    target, fitted = predictor.adata, predictor.fitted
    place = keys.ranking(key) if key_added is None else key_added
    check_place(target, place)
    groupby = groupby or fitted.params.get("groupby")
    if by == "specificity" and groupby is None:
        raise ValueError("by='specificity' compares groups; name their column, groupby=...")
    members, chosen = masks_of(target, groupby, groups)
    scanned = read_scan(predictor, key, [*members.values(), ~np.logical_or.reduce(list(members.values()))])
    if by == "specificity" and (alone := [group for group in chosen if not scanned.cells[~members[group]].any()]):
        raise ValueError(
            f"by='specificity' compares with other cells, and none but those of {listed(alone)} was scanned."
        )
    children, tables = dict(zip(members, generator(rng).spawn(len(members)), strict=True)), {}
    with progress_of(len(chosen), description="rank_genes", unit="group") as advance:
        for group in chosen:
            tables[group] = rank_group(scanned, members[group], predictor, plan, children[group])
            advance(1)
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    table = table.drop(columns="group") if groupby is None else table.astype({"group": pd.CategoricalDtype(chosen)})
    params = _params(groupby, chosen, plan, fitted.params)
    content = {keys.PARAMS: params, **as_scanpy(tables, fitted.genes, by), keys.TABLE: table}
    rate = keys.pval_adj(key if place == keys.ranking(key) else place)
    column = "pval_adj" if groupby is None else "downstream_mean"
    columns = pd.DataFrame({group: part.set_index("gene")[column] for group, part in tables.items()}, dtype=np.float32)
    columns = columns.reindex(target.var_names).rename(columns=lambda group: keys.column(group, target.var_names))
    where: dict[str, Any] = {"varm": {place: columns}} if groupby else {"var": {rate: columns[ALL].to_numpy()}}
    stale = {"var": [rate], "varm": [place]} if place in target.uns else {}
    write(target, remove=stale, uns={place: content}, **where)
    _say(tables, groupby, place)
    return data if copy else None


def _check(plan: Plan) -> None:
    if plan.by not in _SCORES:
        raise ValueError(f"by={plan.by!r} must be one of {listed(_SCORES)}.")
    if unknown := [mark for mark in plan.exclude if mark not in KINDS]:
        raise ValueError(f"exclude={unknown[0]!r} must be one or several of {listed(KINDS)}.")


def _params(groupby: str | None, chosen: list[str], plan: Plan, of_fit: dict[str, Any]) -> dict[str, object]:
    """Return the parameters, with those that scanpy asks for; None is left out, as files do not keep it."""
    of_scanpy = {"reference": "rest", "method": "dko", "use_raw": False, "corr_method": "benjamini-hochberg"}
    of_plan = {"by": plan.by, "n_bootstraps": plan.n_bootstraps, "min_cells": plan.min_cells}
    given = {"exclude": list(plan.exclude) or None, "layer": of_fit.get("layer")}
    found = {"groupby": groupby or ALL, "groups": chosen, **of_scanpy, **of_plan, **given}
    return {name: value for name, value in found.items() if value is not None}


def _say(tables: dict[str, pd.DataFrame], groupby: str | None, place: str) -> None:
    """Say for how many genes there is evidence, where the ranking is, and what it is worth without evidence."""
    n_found = {group: int((table["pval_adj"] <= NO_SIGNAL).sum()) for group, table in tables.items()}
    found = ", ".join(
        f"{n:,} of {len(tables[group]):,}" + f" in {group}" * bool(groupby) for group, n in n_found.items()
    )
    text = f"Genes on which others depend in these cells (FDR <= 5 %): {found}. The ranking is in uns[{place!r}]."
    if not any(n_found.values()):
        text += " The order of the genes may be noise: more or deeper cells are needed."
    say(text)
