"""Genes that a knockout changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.knockouts import open_model
from .._core.messages import listed, require_genes, say
from .._core.names import gene_sets
from .._core.results import AFFECTED, read_params, read_table
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .ranking._affected_rows import affected_rows
from .ranking._groups import members_of
from .ranking._scanned import read_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._core.groups import Names
    from .._core.knockouts import Predictor
    from .._rng import RNG


@verb
def affected_genes(
    adata: AnnData | MuData,
    gene: str | Sequence[str],
    *,
    groupby: str | None = None,
    groups: Names | None = None,
    n_others: int = 200,
    min_cells: int = 10,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    rng: RNG = 0,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Tell which genes a knockout changes, in which direction, beyond chance, and no other knockout likewise.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    gene
        A gene, or a list of genes, each knocked out alone.
    groupby
        ``obs`` column; by default that of the fit, if any. An answer per group.
    groups
        Names of the groups to answer for; all by default.
    n_others
        Genes of the model, drawn at random, the same whatever is asked: with their knockouts, but for its own, the
        changes of each knockout are compared.
    min_cells
        Leave out groups of which fewer cells express the knocked-out gene, and do not test genes that fewer express.
    key, mod, device
        Where the fit is; where to compute.
    rng
        Seed or generator that draws these genes. There is nothing random about the p-values.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_affected"]`` with ``params`` and

    ``table``
        DataFrame, a row per ``knockout`` (, ``group``) and other ``gene`` of the model, the smallest p-value first:
        ``n_cells`` of the group that express the knocked-out gene; ``change``, the predicted mean change of log1p(1e4 *
        profile) in these, as in :func:`dko.get.effects`; ``z``, how surely the observed level of the gene falls when
        that of the knocked-out gene does, by itself, over all cells of the group: below 0 the knockout lowers it; its
        two-sided ``pval`` and, by Benjamini and Hochberg over the genes, ``pval_adj``; ``others``, the share of other
        knockouts that change this gene at least as much in the same direction; ``specific``, whether this is at most
        5 %. A gene that is not tested has z NaN and p-value 1.

    Earlier rows stay, but for those of the same knockouts, and all if they were of another `groupby`.
    :func:`dko.get.affected_genes` reads it, :func:`dko.tl.enrichment` tells sets of genes from it; what it told from
    earlier rows is taken away.

    Raises
    ------
    KeyError
        No fit; no such gene, column or group.
    ValueError
        A gene that too few cells express in every group; an argument out of range.

    Notes
    -----
    ``change`` is what the model predicts, ``z`` what the cells show of these two genes alone. They can disagree in
    sign. A profile sums to 1: where a knockout lowers genes that make up much of it, the shares of all others rise, so
    that a gene which is hardly co-expressed with the knocked-out one has a positive change. A network with direct
    effects holds the presence of all other genes fixed. And small estimates are shrunken, small z-scores are noise.
    Trust a change whose z is significant and of its sign.

    The null of z is that the levels of the knocked-out gene are permuted over the cells in all ways, with depth
    taken off as in :func:`dko.tl.rank_genes`. Mean, variance and skewness of the sum of products are then known
    exactly, so nothing is drawn; for genes that are expected to meet in fewer than two cells p-values are too large
    rather than too small.
    """
    if n_others < 0 or min_cells < 1:
        raise ValueError(f"n_others={n_others} must be at least 0, and min_cells={min_cells} at least 1.")
    data = writable(adata, copy, mod)
    task = open_model(data, key, mod, needs="scan")
    names = _names(gene, task)
    groupby = groupby or task.fitted.params.get("groupby")
    members, chosen = members_of(task.adata, groupby, groups)
    others = _others(task.fitted.genes, n_others, generator(rng))
    params = _params(groupby, n_others, min_cells)
    _earlier(task, key, groupby)  # refused, where it is damaged, before any work
    table = _table(task, names, others, members, chosen, min_cells, groupby, device)

    def with_earlier(_: Any) -> dict[str, Any]:
        return {keys.PARAMS: params, keys.TABLE: _kept(task, _earlier(task, key, groupby), groupby, table)}

    write(task.adata, remove={"uns": [keys.enrichment(key)]}, uns={keys.affected(key): with_earlier})
    n_found = int((table["pval_adj"] <= 0.05).sum())
    say(
        f"{n_found:,} genes change with {listed(names)} (FDR <= 5 %). They are in uns[{keys.affected(key)!r}]; trust "
        "a change whose z is significant and of its sign."
    )
    return data if copy else None


def _names(gene: str | Sequence[str], task: Predictor) -> list[str]:
    sets = gene_sets(gene)
    if several := [members for members in sets if len(members) > 1]:
        raise TypeError(f"Affected genes are those of single knockouts, got {several[0]!r}.")
    names = list(dict.fromkeys(name for (name,) in sets))
    require_genes(names, task.fitted.genes, task.adata)
    return names


def _others(genes: list[str], n_others: int, rng: np.random.Generator) -> list[str]:
    """Draw genes in their order by name, so that it does not matter how they are stored."""
    return list(rng.permutation(np.array(sorted(genes), dtype=object))[:n_others])


def _table(
    task: Predictor,
    names: list[str],
    others: list[str],
    members: dict[str, np.ndarray],
    chosen: list[str],
    min_cells: int,
    groupby: str | None,
    device: str,
) -> pd.DataFrame:
    from ..get import effects

    counts = read_counts(task)
    seen = counts[task.cells]
    found = effects(task.adata, [*names, *others], groupby=groupby, key=task.fitted.key, device=device)
    frame, n_cells = found.to_df(), found.obs["n_cells"].to_numpy()
    tables = []
    for group in chosen:
        rows = n_cells >= min_cells
        if groupby is not None:
            rows = rows & (found.obs["group"] == group).to_numpy()
        changes = frame[rows].set_axis(found.obs["knockout"].to_numpy()[rows])
        there = [name for name in names if name in changes.index]
        if not there:
            continue
        of_group = seen if groupby is None else counts[np.flatnonzero(members[group] & task.cells)]
        n_of = dict(zip(changes.index, n_cells[rows], strict=True))
        drawn = changes[changes.index.isin(others)]
        for part in affected_rows(of_group, changes.loc[there], drawn, min_cells):
            part.insert(1, "n_cells", n_of[part["knockout"].iloc[0]])
            if groupby is not None:
                part.insert(1, "group", group)
            tables.append(part)
    known = {part["knockout"].iloc[0] for part in tables}
    if missing := [name for name in names if name not in known]:
        where = "" if groupby is None else " of any group"
        raise ValueError(f"Fewer than min_cells={min_cells} cells{where} that have a model express {listed(missing)}.")
    return pd.concat(tables, ignore_index=True)


def _params(groupby: str | None, n_others: int, min_cells: int) -> dict[str, Any]:
    params = {"n_others": n_others, "min_cells": min_cells}
    return params if groupby is None else {"groupby": groupby, **params}


def _earlier(task: Predictor, key: str, groupby: str | None) -> pd.DataFrame | None:
    """Return the genes that knockouts were found to change before, if it was in the same groups."""
    if keys.affected(key) not in task.adata.uns or read_params(task.adata, AFFECTED, key).get("groupby") != groupby:
        return None
    return read_table(task.adata, AFFECTED, key)


def _kept(task: Predictor, earlier: pd.DataFrame | None, groupby: str | None, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the rows of earlier knockouts before it, and names as categories."""
    if earlier is not None:
        before = earlier[~earlier["knockout"].isin(table["knockout"].unique())]
        names = ["knockout", "gene", *(["group"] if groupby is not None else [])]
        table = pd.concat([before.astype(dict.fromkeys(names, object)), table], ignore_index=True)
    of_groups = {} if groupby is None else {"group": pd.Categorical(table["group"])}
    return table.assign(
        knockout=pd.Categorical(table["knockout"], categories=list(dict.fromkeys(table["knockout"]))),
        gene=pd.Categorical(table["gene"], categories=task.fitted.genes),
        **of_groups,
    )
