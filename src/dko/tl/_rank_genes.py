"""Keystone genes, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.fitted import NO_SIGNAL, check_place
from .._core.genes import KINDS
from .._core.knockouts import open_model
from .._core.messages import listed, progress_of, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .ranking._as_scanpy import as_scanpy
from .ranking._dependence import test_of
from .ranking._groups import ALL, members_of
from .ranking._rank_group import Plan, rank_group
from .ranking._scanned import read_scan, require_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._core.groups import Names
    from .._rng import RNG
    from .ranking._scanned import Scanned

_SCORES = ("downstream_mean", "impact_mean", "specificity")


@verb
def rank_genes(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    groups: Names | None = None,
    by: str = "downstream_mean",
    exclude: str | Sequence[str] = (),
    n_permutations: int | None = None,
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
        ``obs`` column; by default that of the fit, if any. A ranking per group.
    groups
        Names of the groups to rank in; all by default.
    by
        What genes are ranked by: a column of the table, ``"downstream_mean"``, ``"impact_mean"`` or, with groups,
        ``"specificity"``. Genes with a false discovery rate of at most 5 % come before all others, and in both those of
        at least 30 cells before rarer ones.
    exclude
        Marks of genes to leave out, as the table has them: ``"ribosomal"``, ``"mitochondrial"``, ``"few cells"``. Rates
        are then over the genes that are left.
    n_permutations
        Only where effects are direct: permutations of the cells, all genes at once. By default so many that the null
        has 50,000 draws, but 20 to 1,000.
    n_bootstraps
        Draws of cells for the intervals.
    min_cells
        Leave out genes that fewer scanned cells (of the group) express.
    key, mod
        Where the scan is.
    rng
        Seed or generator of permutations and bootstrap. What a group gets does not depend on what `groups` are asked.
    key_added
        Where in ``uns`` and ``varm`` the result goes, instead of ``f"{key}_ranking"`` where :func:`dko.get.ranking` and
        :func:`dko.pl.ranking` look for it; the column of ``var`` then is ``f"{key_added}_pval_adj"``. What an earlier
        ranking left there is removed.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_ranking"]`` in the form of :func:`scanpy.tl.rank_genes_groups`, for
    ``sc.get.rank_genes_groups_df(adata, group, key="dko_ranking")`` and
    ``sc.pl.rank_genes_groups(adata, key="dko_ranking")``: ``names``, ``scores`` (those of `by`), ``logfoldchanges``
    (the specificity; 0 where that is unknown, and without groups, where the one group is called ``"all"``), ``pvals``
    and ``pvals_adj``, with all genes of the model in each group, those that are left out last with score NaN and
    p-value 1. Beside them

    ``table``
        DataFrame, a row per ``gene`` (and ``group``), best first. Over the scanned cells that express the gene:
        ``downstream_mean``, the mean downstream impact, which is how far the knockout moves the other genes
        (Bray-Curtis dissimilarity, 0 to 1); ``downstream_low`` and ``downstream_high``, its 95 % interval by bootstrap
        over cells; ``impact_mean``, the mean impact, of which the gene's own share is a part. Where a group leaves
        cells out, ``specificity``: log2 of the mean downstream impact over all scanned cells of the group (0 in cells
        that lack the gene) over that of all other scanned cells, those of no group too, after adding to both their
        median over genes; NaN where no other cell was scanned. ``pval`` and, by Benjamini and Hochberg within the
        group, ``pval_adj``, of the downstream impact (see the notes). ``n_cells``, ``fraction`` and ``expression_mean``
        as in :func:`dko.get.ranking`. ``mark``: ``"mitochondrial"`` or ``"ribosomal"``, by the boolean column ``mt`` or
        ``ribo`` of ``var`` or, without it, by names that begin with MT-, RPS or RPL; ``"few cells"``, where fewer than
        30 express the gene; otherwise empty.
    ``params``
        What was asked for.

    A scan of some genes has gone over cells that express none of them as well: scanned cells of a group are all that
    have a model and express any of its genes. Where one that expresses a gene that was knocked out has no impacts, the
    scan has left out a part of the group, or all of it, and they are those that have impacts.

    And, without groups, ``var[f"{key}_pval_adj"]`` (float32, NaN for other genes), beside the means of the scan; with
    groups, ``varm[f"{key}_ranking"]``, a DataFrame of ``downstream_mean``, genes x groups.

    Raises
    ------
    KeyError
        Nothing was scanned, or without downstream impacts; no such column or group.
    ValueError
        An argument out of range; a `key_added` with "/" or of a model; no cell in any group; no other
        scanned cells to be specific against; expression that is not the one that was scanned.

    Notes
    -----
    *Total effects.* The p-value is of the downstream impact: the null is that no other gene depends on this one. The
    downstream impact on the mean profile of the scanned cells (of the group) is compared with those of genes that about
    as many cells express and whose amounts the fit has permuted over the cells, both by one standard deviation of the
    gene. Where these cells have several models, it is the smallest p-value times the number of models. A correlation is
    not a cause: a gene with a small p-value may follow what drives the others.

    *Direct effects* have no null of their own, nor do fits of version 0.1.0. There the p-value is of co-expression in
    the cells: the null is that no other gene is co-expressed with this one, but through the depth of the cell. The
    levels (log1p of counts) of all genes are compared with each other after regression on depth, from which each gene's
    own counts are left out: with profiles, which sum to 1, an abundant gene would lower all others. The sum of the
    squared z-scores of a gene and the largest of them are held against cells whose predictors are permuted, of genes of
    like prevalence. Values whose counts cannot be recovered are compared over the geometric mean of the cell, of which
    every gene is a part: of 300 permuted genes 6 to 7 % have p-values below 5 %, of a few tens many more.

    On cells with every gene permuted independently, 4.6 to 5.4 % of the p-values of both are below 5 %, and in at most
    5 % of such data sets is any gene called at a false discovery rate of 5 % (``benchmarks/accuracy``, part
    calibration).
    """
    plan = Plan(by, (exclude,) if isinstance(exclude, str) else tuple(exclude), n_bootstraps, min_cells)
    _check(plan, n_permutations)
    data = writable(adata, copy, mod)
    task = open_model(data, key, mod, needs="scan")
    target, place = task.adata, keys.ranking(key) if key_added is None else key_added
    check_place(target, place)
    require_scan(task, key)
    groupby = groupby or task.fitted.params.get("groupby")
    if by == "specificity" and groupby is None:
        raise ValueError("by='specificity' compares groups; name their column, groupby=...")
    members, chosen = members_of(target, groupby, groups)
    nowhere = ~np.logical_or.reduce(list(members.values()))
    scanned = read_scan(task, key, [*members.values(), nowhere])
    _check_others(scanned, members, chosen, plan)
    test = test_of(task, scanned.observed, min_cells, n_permutations)
    children, tables = dict(zip(members, generator(rng).spawn(len(members)), strict=True)), {}
    with progress_of(len(chosen), description="rank_genes", unit="group") as advance:
        for group in chosen:
            var = target.var.iloc[task.columns]
            tables[group] = rank_group(scanned, members[group], var, plan, test, children[group])
            advance(1)
    params = _params(groupby, chosen, plan, task.fitted.params)
    if n_permutations is not None:
        params["n_permutations"] = n_permutations
    content = {
        keys.PARAMS: params,
        **as_scanpy(tables, task.fitted.genes, by),
        keys.TABLE: _together(tables, groupby),
    }
    rate = keys.pval_adj(key if place == keys.ranking(key) else place)
    where: dict[str, Any]
    if groupby is None:
        where = {"var": {rate: _column(tables[ALL], target, "pval_adj")}}
    else:
        columns = {
            keys.column(group, target.var_names): _column(table, target, "downstream_mean")
            for group, table in tables.items()
        }
        where = {"varm": {place: pd.DataFrame(columns, index=target.var_names)}}
    stale = {"var": [rate], "varm": [place]} if place in target.uns else {}
    write(target, remove=stale, uns={place: content}, **where)
    _tell(tables, groupby, place, total=getattr(task.model, "null", None) is not None)
    return data if copy else None


def _check(plan: Plan, n_permutations: int | None) -> None:
    if plan.by not in _SCORES:
        raise ValueError(f"by={plan.by!r} must be one of {listed(_SCORES)}.")
    if unknown := [mark for mark in plan.exclude if mark not in KINDS]:
        raise ValueError(f"exclude={unknown[0]!r} must be one or several of {listed(KINDS)}.")
    if n_permutations is not None and n_permutations < 2:
        raise ValueError(f"n_permutations={n_permutations} must be at least 2.")
    if plan.n_bootstraps < 1 or plan.min_cells < 1:
        raise ValueError(f"n_bootstraps={plan.n_bootstraps} and min_cells={plan.min_cells} must be at least 1.")


def _tell(tables: dict[str, pd.DataFrame], groupby: str | None, place: str, *, total: bool) -> None:
    """Say for how many genes there is evidence, where the ranking is, and what it is worth without evidence."""
    what = "others depend on them" if total else "others are co-expressed with them"
    n_found = {group: int((table["pval_adj"] <= NO_SIGNAL).sum()) for group, table in tables.items()}
    found = ", ".join(
        f"{n:,} of {len(tables[group]):,}" + f" in {group}" * bool(groupby) for group, n in n_found.items()
    )
    text = f"Genes of which these cells show that {what} (FDR <= 5 %): {found}. The ranking is in uns[{place!r}]."
    if not any(n_found.values()):
        text += " The order of the genes may be noise: more or deeper cells are needed."
    say(text)


def _check_others(scanned: Scanned, members: dict[str, np.ndarray], chosen: list[str], plan: Plan) -> None:
    if plan.by != "specificity":
        return
    if alone := [group for group in chosen if not scanned.cells[~members[group]].any()]:
        raise ValueError(
            f"by='specificity' compares with other cells, and none but those of {listed(alone)} was scanned."
        )


def _params(groupby: str | None, chosen: list[str], plan: Plan, of_fit: dict) -> dict[str, object]:
    params: dict[str, object] = {
        # scanpy asks for the first of these; without groups there is no column, and None is not kept by files.
        "groupby": groupby or ALL,
        "groups": chosen,
        "reference": "rest",
        "method": "dko",
        "use_raw": False,
        "corr_method": "benjamini-hochberg",
        "by": plan.by,
        "n_bootstraps": plan.n_bootstraps,
        "min_cells": plan.min_cells,
    }
    if plan.exclude:
        params["exclude"] = list(plan.exclude)
    if of_fit.get("layer") is not None:
        params["layer"] = of_fit["layer"]
    return params


def _together(tables: dict[str, pd.DataFrame], groupby: str | None) -> pd.DataFrame:
    if groupby is None:
        return tables[ALL]
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    return table.assign(group=pd.Categorical(table["group"], categories=list(tables)))


def _column(table: pd.DataFrame, adata: AnnData, name: str) -> np.ndarray:
    return table.set_index("gene")[name].reindex(adata.var_names).to_numpy(dtype=np.float32)
