"""Keystone genes, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _keys
from .._engine import open_task
from .._errors import listed
from .._fitted import check_place
from .._log import progress_of, say
from .._rng import generator
from .._verb import verb
from .._write import writable, write
from .ranking._as_scanpy import as_scanpy
from .ranking._groups import ALL, members_of
from .ranking._rank_group import CALLED, Plan, rank_group, tested
from .ranking._scanned import read_scan, require_scan

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .._groups import Names
    from .._rng import RNG
    from .ranking._scanned import Scanned

_SCORES = ("impact_beyond", "impact_mean", "impact_excess", "specificity")


@verb
def rank_genes(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    groups: Names | None = None,
    by: str = "impact_beyond",
    n_permutations: int | None = None,
    n_bootstraps: int = 1_000,
    min_cells: int = 10,
    key: str = _keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    rng: RNG = 0,
    key_added: str | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Rank genes by the impact of their knockouts, overall or per group, and tell it from expression and from chance.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    groupby
        ``obs`` column; by default that of the fit, if any. A ranking per group.
    groups
        Names of the groups to rank in; all by default.
    by
        What genes are ranked by, those called at a false discovery rate of 5 % before all others: a column of the
        table, ``"impact_beyond"``, ``"impact_mean"``, ``"impact_excess"`` or, with groups, ``"specificity"``.
    n_permutations
        Permutations of the null, all genes at once. By default so many that it has 50,000 draws, but 20 to 1,000.
    n_bootstraps
        Draws of cells for the intervals.
    min_cells
        Leave out genes that fewer scanned cells (of the group) express.
    key, mod
        Where the scan is.
    device
        Where to predict the profiles before the knockouts.
    rng
        Seed or generator of permutations and bootstrap. What a group gets does not depend on what `groups` are asked.
    key_added
        Where in ``uns`` and ``varm`` the result goes, instead of ``f"{key}_ranking"`` where :func:`dko.get.ranking` and
        :func:`dko.pl.ranking` look for it; the columns of ``var`` then are ``f"{key_added}_impact_beyond"`` and
        ``f"{key_added}_pval_adj"``. What an earlier ranking left there is removed.
    progress
        Show a progress bar where the call takes longer than a second.
    copy
        Return a changed copy instead of writing in place.

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
        ``impact_mean``; ``impact_excess``, the mean of what is left of the impact without the share that the gene
        itself had in the profile, which is how much the other genes move; ``impact_beyond``, the same less what genes
        of such a mean share in such a fraction of cells have on the whole (robust local trends of logs), so that it is
        particular to the gene and not to its level. ``impact_low``, ``impact_high``, ``beyond_low`` and
        ``beyond_high``: 95 % intervals by bootstrap over cells, with the trend as it is. ``n_cells``, ``fraction`` and
        ``expression_mean`` as in :func:`dko.get.ranking`. Where a group leaves cells out, ``specificity``: log2 of the
        mean excess over all scanned cells of the group (0 in cells that lack the gene) over that of all other scanned
        cells, those of no group too, after adding to both their median over genes; NaN where no other cell was
        scanned. ``pval`` and, by Benjamini and Hochberg within the group, ``pval_adj``.
    ``params``
        What was asked for.

    A scan of some genes has gone over cells that express none of them as well: scanned cells of a group are all that
    have a model and express any of its genes. Where one that expresses a gene that was knocked out has no impacts, the
    scan has left out a part of the group, or all of it, and they are those that have impacts.

    And, without groups, ``var[f"{key}_impact_beyond"]`` and ``var[f"{key}_pval_adj"]`` (float32, NaN for other genes);
    with groups, ``varm[f"{key}_ranking"]``, a DataFrame of ``impact_beyond``, genes x groups.

    Raises
    ------
    KeyError
        Nothing was scanned; no such column or group.
    ValueError
        An argument out of range; a `key_added` with "/" or of a model; no cell in any group; no other
        scanned cells to be specific against; expression that is not the one that was scanned.

    Notes
    -----
    For profiles that sum to 1, the impact of a knockout is the share of the gene itself plus what all genes that fall
    lose: never less than its share. Ranked by it alone, abundant genes come first.

    The p-value asks whether there is anything in these cells for a model to learn of the gene: the null is that no
    other gene goes with it, but through the depth of the cell. It is of counts, not of the model, so that it does not
    grow with the confidence of a fit. The levels (log1p of counts) of all genes are compared with each other after
    regression on depth, from which each gene's own counts are left out: with profiles, which sum to 1, an abundant gene
    would lower all others. The sum of the squared z-scores of a gene and the largest of them are held against cells
    whose predictors are dealt anew, of genes of like prevalence. On cells with every gene permuted independently,
    p-values are uniform (``benchmarks/accuracy``, part calibration). Values whose counts cannot be recovered are
    compared over the geometric mean of the cell, of which every gene is a part: of 300 permuted genes 6 to 7 % have
    p-values below 5 %, of a few tens many more.
    """
    _check(by, n_permutations, n_bootstraps, min_cells)
    data = writable(adata, copy, mod)
    task = open_task(data, key, mod)
    place = _keys.ranking(key) if key_added is None else key_added
    check_place(task.adata, place)
    require_scan(task, key)
    groupby = groupby or task.fitted.params.get("groupby")
    if by == "specificity" and groupby is None:
        raise ValueError("by='specificity' compares groups; name their column, groupby=...")
    members, chosen = members_of(task.adata, groupby, groups)
    plan = Plan(by, n_permutations, n_bootstraps, min_cells)
    nowhere = ~np.logical_or.reduce(list(members.values()))
    scanned = read_scan(task, key, device, [*members.values(), nowhere])
    _check_others(scanned, members, chosen, plan)
    tables = _tables(scanned, members, chosen, task.fitted.genes, plan, generator(rng))
    content = {
        _keys.PARAMS: _params(groupby, chosen, plan, task.fitted.params),
        **as_scanpy(tables, task.fitted.genes, by),
        _keys.TABLE: _together(tables, groupby),
    }
    columns = {group: _column(table, task.adata, "impact_beyond") for group, table in tables.items()}
    stem = key if place == _keys.ranking(key) else place
    names = [_keys.impact_beyond(stem), _keys.pval_adj(stem)]
    if groupby is None:
        adjusted = _column(tables[ALL], task.adata, "pval_adj")
        where: dict[str, Any] = {"var": dict(zip(names, (columns[ALL], adjusted), strict=True))}
    else:
        frame = {_keys.column(group, task.adata.var_names): values for group, values in columns.items()}
        where = {"varm": {place: pd.DataFrame(frame, index=task.adata.var_names)}}
    stale = {"var": names, "varm": [place]} if place in task.adata.uns else {}
    write(task.adata, remove=stale, uns={place: content}, **where)
    n_found = {group: int((table["pval_adj"] <= CALLED).sum()) for group, table in tables.items()}
    found = ", ".join(f"{n} of {len(tables[group])}" + f" in {group}" * bool(groupby) for group, n in n_found.items())
    say(f"Genes that others go with, at a false discovery rate of 5 %: {found}.")
    return data if copy else None


def _check(by: str, n_permutations: int | None, n_bootstraps: int, min_cells: int) -> None:
    if by not in _SCORES:
        raise ValueError(f"by={by!r} must be one of {listed(_SCORES)}.")
    if n_permutations is not None and n_permutations < 2:
        raise ValueError(f"n_permutations={n_permutations} must be at least 2.")
    if n_bootstraps < 1 or min_cells < 1:
        raise ValueError(f"n_bootstraps={n_bootstraps} and min_cells={min_cells} must be at least 1.")


def _check_others(scanned: Scanned, members: dict[str, np.ndarray], chosen: list[str], plan: Plan) -> None:
    if plan.by != "specificity":
        return
    if alone := [group for group in chosen if not scanned.cells[~members[group]].any()]:
        raise ValueError(
            f"by='specificity' compares with other cells, and none but those of {listed(alone)} was scanned."
        )


def _tables(
    scanned: Scanned,
    members: dict[str, np.ndarray],
    chosen: list[str],
    genes: list[str],
    plan: Plan,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    from ..models.significance import permutations_of

    children = dict(zip(members, rng.spawn(len(members)), strict=True))
    parts = {group: scanned.rows(np.flatnonzero(members[group])) for group in chosen}
    n_each = [plan.n_permutations or permutations_of(int(tested(part, plan).sum())) for part in parts.values()]
    tables = {}
    with progress_of(sum(n_each), description="rank_genes", unit="permutation") as advance:
        for group, part in parts.items():
            rest = np.flatnonzero(~members[group])
            others = scanned.rows(rest) if len(rest) else None
            tables[group] = rank_group(part, others, genes, plan, children[group], advance)
    return tables


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
    if plan.n_permutations is not None:
        params["n_permutations"] = plan.n_permutations
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
