"""Genes that a knockout changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from .._core import keys
from .._core.cells import MOST_CELLS, some_cells
from .._core.evidence import counts_again
from .._core.groups import ALL, masks_of
from .._core.knockouts import open_model
from .._core.messages import drawn_of, listed, many, say
from .._core.reading import read_linear
from .._core.results import AFFECTED, read_params, read_table
from .._core.verb import verb
from .._core.write import writable, write, writing
from .._rng import generator
from ..models.base import FDR
from ..models.statistics import comparable, pair_test

if TYPE_CHECKING:
    from .._core.groups import Names
    from .._typing import RNG, AnnData, MuData, Predictor, Sequence


# Share of the other knockouts that change a gene as much, at which a change is no longer particular to one of them.
_SPECIFIC = 0.05


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
    """Test which genes a knockout changes, and in which direction, and compare with what other knockouts do to them.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    gene
        A gene, or a list of genes, each knocked out alone. A later call replaces the table: name all in one.
    groupby
        ``obs`` column, by default that of the fit, if any: an answer per group.
    groups
        Names of the groups to answer for; all by default.
    n_others
        Genes of the model, drawn at random, the same whatever is asked, with whose knockouts changes are compared.
    min_cells
        Leave out groups of which fewer cells express the knocked-out gene, and do not test genes that fewer express.
    key, mod, device
        Where the fit is; where to compute.
    rng
        Seed or generator that draws these genes and, with more than 20,000 cells, the cells of the test. There is
        nothing else random about the p-values.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets

    ``uns[f"{key}_affected"]``
        ``params`` and ``table``, a row per ``knockout`` (, ``group``) and other ``gene`` of the model, smallest p-value
        first; rows of other knockouts stay, unless they are of another `groupby`. Sets that :func:`dko.tl.enrichment`
        found in earlier rows are removed. :func:`dko.get.affected_genes` reads it. Its other columns:
    ``n_cells``, ``change``
        Cells that express the knocked-out gene; the predicted mean change in these, as in :func:`dko.get.effects`.
    ``z``, ``pval``, ``pval_adj``
        How surely the observed level of the gene falls when that of the knocked-out gene does, over all cells of the
        group, or at random over as many of each group as make up 20,000: below 0 the knockout lowers it; two-sided, and
        Benjamini-Hochberg. NaN and 1 of a gene that is not tested.
    ``others``, ``specific``
        Share of other knockouts that change this gene as much in the same direction; whether it is at most 5 %.

    %(errors)s
        a gene that too few cells express in every group.

    Notes
    -----
    ``change`` is what the model predicts, ``z`` what the cells show of these two genes alone: trust a change whose z is
    significant and of its sign. They disagree, for example, where a knockout lowers genes that make up much of a
    profile, so that the shares of all others rise. The null of z is that the levels (log1p of counts) of the
    knocked-out gene, with the depth of the cell taken off by regression, are permuted over the cells in all ways; for
    genes that are expected to meet in fewer than two cells p-values are too large.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.affected_genes(adata, "CD74")
    >>> dko.get.affected_genes(adata)["gene"].head(4).tolist()
    ['HLA-DRA', 'HLA-DRB1', 'HLA-DPB1', 'HLA-DPA1']
    """
    data = writable(adata, copy, mod)
    predictor = open_model(data, key, mod, device=device, needs="scan")
    sets = list(predictor.sets(gene).values())
    if several := [members for members in sets if len(members) > 1]:
        raise TypeError(f"Affected genes are those of single knockouts, got {tuple(several[0])!r}.")
    names = [name for (name,) in sets]
    groupby = groupby or predictor.fitted.params.get("groupby")
    members, chosen = masks_of(predictor.adata, groupby, groups)
    # In their order by name, so that it does not matter how they are stored.
    stream = generator(rng)
    others = list(stream.permutation(np.array(sorted(predictor.fitted.genes), dtype=object))[:n_others])
    params = {"n_others": n_others, "min_cells": min_cells} | ({} if groupby is None else {"groupby": groupby})
    if keys.affected(key) in predictor.adata.uns:  # refused, where it is damaged, before any work
        read_table(predictor.adata, AFFECTED, key)
    table = _table(predictor, names, others, {group: members[group] for group in chosen}, min_cells, stream)
    if groupby is None:
        table = table.drop(columns="group")
    with writing():
        content = {keys.PARAMS: params, keys.TABLE: _with_earlier(predictor, key, groupby, table)}
        write(predictor.adata, remove={"uns": [keys.enrichment(key)]}, uns={keys.affected(key): content})
    found = table[table["pval_adj"] <= FDR]
    n_found, n_specific = (len(some["gene"].unique()) for some in (found, found[found["specific"]]))
    somewhere = "" if groupby is None else ", in any group"
    specific = f"; {n_specific:,} of them change with few other knockouts (specific)" if n_found else ""
    where = f"uns[{keys.affected(key)!r}]"
    say(f"Co-expressed with {listed(names)}: {many(n_found, 'gene')} (FDR <= 5 %{somewhere}){specific}; see {where}.")
    return data if copy else None


def _table(
    predictor: Predictor,
    names: list[str],
    others: list[str],
    groups: dict[str, np.ndarray],
    min_cells: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return a row per group, knockout and gene; `groups` are masks of cells."""
    genes = pd.Index(predictor.fitted.genes)
    knockouts = np.array(list(dict.fromkeys([*names, *others])), dtype=object)
    group_of = np.select(list(groups.values()), range(len(groups)), -1)
    totals, n_cells = predictor.effect_sums([[name] for name in knockouts], group_of, len(groups))
    most = dict(zip(names, n_cells.max(axis=0), strict=False))
    if missing := [name for name, n in most.items() if n < min_cells]:
        where = "" if list(groups) == [ALL] else " of any group"
        raise ValueError(f"Fewer than min_cells={min_cells} cells{where} that have a model express {listed(missing)}.")
    chosen = _tested_cells(predictor.cells, groups, rng)
    tables, values = [], read_linear(predictor.adata, predictor.fitted, chosen)
    counts = counts_again(values)
    if counts is None:
        say("Not all values can be turned back into counts: p-values are approximate, too small in a fit of few genes.")
        counts = comparable(values)
    for group, total, n in zip(groups, totals, n_cells, strict=True):
        there, n_of = n >= min_cells, dict(zip(knockouts, n, strict=True))
        changes = pd.DataFrame((total[there] / n[there, None]).astype(np.float32), knockouts[there], genes)
        asked = [name for name in names if name in changes.index]
        if not asked:
            continue
        cells = counts[groups[group][chosen]]
        z, p_values = pair_test(cells, genes.get_indexer(asked), min_cells)
        drawn = changes.loc[[name for name in others if name in changes.index]]
        for name, one_z, one_p in zip(asked, z, p_values, strict=True):
            change, rest = changes.loc[name].to_numpy(dtype=np.float64), drawn.drop(index=name, errors="ignore")
            of_knockout = {"knockout": name, "group": group, "n_cells": n_of[name], "gene": genes}
            table = pd.DataFrame({**of_knockout, **_columns(change, one_z, one_p, rest)})
            tables.append(table[table["gene"] != name].sort_values("pval", kind="stable", ignore_index=True))
    return pd.concat(tables, ignore_index=True)


def _columns(change: np.ndarray, z: np.ndarray, p_values: np.ndarray, others: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the columns of one knockout, from its change of each gene and those by `others`, and the test."""
    share, tested, adjusted = _share_of_others(change, others), np.isfinite(z), np.ones(len(z))
    if tested.any():
        adjusted[tested] = false_discovery_control(p_values[tested])
    return {
        "change": change.astype(np.float32),
        "z": -z.astype(np.float32),
        "pval": p_values,
        "pval_adj": adjusted,
        "specific": (change != 0) & (share <= _SPECIFIC),
        "others": share.astype(np.float32),
    }


def _tested_cells(cells: np.ndarray, groups: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return a mask of the cells in which genes are tested: all or, of too many, as many at random of each group."""
    if cells.sum() <= MOST_CELLS:
        return cells
    most = max(1, MOST_CELLS // len(groups))
    chosen = np.any([some_cells(cells & members, rng, most) for members in groups.values()], axis=0)
    say(f"Genes are tested in {drawn_of(int(chosen.sum()), int(cells.sum()), 'cell')}.")
    return chosen


def _share_of_others(change: np.ndarray, others: pd.DataFrame) -> np.ndarray:
    """Return the share of other knockouts that change each gene as much, in the same direction; NaN without others."""
    if others.empty:
        return np.full(len(change), np.nan)
    own = others.index.to_numpy()[:, None] == others.columns.to_numpy()
    as_much = (np.sign(change) * others.to_numpy() >= np.abs(change)) & ~own
    return as_much.sum(0) / np.maximum((~own).sum(0), 1)


def _with_earlier(predictor: Predictor, key: str, groupby: str | None, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table after the rows of earlier knockouts, if they are of the same groups, and names as categories."""
    adata, names = predictor.adata, [name for name in ("knockout", "gene", "group") if name in table]
    if keys.affected(key) in adata.uns and read_params(adata, AFFECTED, key).get("groupby") == groupby:
        before = read_table(adata, AFFECTED, key)
        before = before[~before["knockout"].isin(table["knockout"].unique())]
        table = pd.concat([before.astype(dict.fromkeys(names, object)), table], ignore_index=True)
    categories = {"gene": predictor.fitted.genes, "knockout": list(dict.fromkeys(table["knockout"])), "group": None}
    return table.assign(**{name: pd.Categorical(table[name], categories[name]) for name in names})
