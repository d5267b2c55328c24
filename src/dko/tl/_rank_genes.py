"""Keystone genes, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from .._compat import layer_names
from .._core import keys
from .._core.cells import MOST_CELLS, read_rows, some_cells
from .._core.evidence import counts_again
from .._core.fitted import check_place
from .._core.genes import KINDS, MITOCHONDRIAL, RIBOSOMAL, gene_kinds, gene_means, in_order
from .._core.groups import ALL, masks_of
from .._core.knockouts import open_model
from .._core.messages import drawn_of, listed, require_one_of, say
from .._core.messages import progress as progress_over
from .._core.reading import read_linear
from .._core.scans import read_scan
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ..models.base import FDR
from ..models.rows import profiles
from ..models.statistics import bootstrap_means, normal_means

if TYPE_CHECKING:
    from scipy import sparse

    from .._core.groups import Names
    from .._core.scans import Sums
    from .._typing import RNG, AnnData, MuData, Predictor, Sequence

_SCORES = ("downstream_mean", "impact_mean", "specificity")
_COLUMNS = [
    *("gene", "downstream_mean", "downstream_low", "downstream_high", "impact_mean", "specificity", "pval", "pval_adj"),
    *("n_cells", "fraction", "expression_mean", "mark"),
]
# Of scanpy's rank_genes_groups.
_TYPES = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}
_OF_SCANPY = {"reference": "rest", "method": "dko", "use_raw": False, "corr_method": "benjamini-hochberg"}
# Fewer cells say nothing of co-expression.
_FEWEST = 5


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
        Draws of cells for the intervals; not used with more than 20,000 scanned cells.
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
        and its 95 % interval by bootstrap over cells, with more than 20,000 scanned cells by the normal distribution;
        mean impact, which includes the gene's own share.
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
    The null of the p-value is that no other gene depends on this one: it compares the gene with genes whose amounts are
    permuted over the cells (docs, design, evidence); of several models it is the smallest p-value times their number.
    With direct effects total ones are estimated in these cells (in 20,000 at random, if there are more), and the
    p-value is of co-expression, not of the network. A correlation is no cause: a gene with a small p-value may follow
    what drives the others.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.tl.rank_genes(adata, groupby="cell_type")
    >>> ranking = dko.get.ranking(adata)
    >>> ranking.loc[ranking["group"] == "CD56+ NK", "gene"].head(3).tolist()
    ['CST7', 'CTSW', 'GNLY']
    """
    left_out = [exclude] if isinstance(exclude, str) else list(exclude)
    require_one_of(_SCORES, by=by)
    if unknown := [mark for mark in left_out if mark not in KINDS]:
        raise ValueError(f"exclude={unknown[0]!r} must be one or several of {listed(KINDS)}.")
    data = writable(adata, copy, mod)
    predictor = open_model(data, key, mod, needs="scan")
    target, fitted = predictor.adata, predictor.fitted
    place = keys.ranking(key) if key_added is None else key_added
    check_place(target, place)
    groupby = groupby or fitted.params.get("groupby")
    if by == "specificity" and groupby is None:
        raise ValueError("by='specificity' compares groups; name their column, groupby=...")
    members, chosen = masks_of(target, groupby, groups)
    scanned = _read_scan(predictor, key, members)
    if by == "specificity" and (alone := [group for group in chosen if not scanned.cells[~members[group]].any()]):
        raise ValueError(
            f"by='specificity' compares with other cells, and none but those of {listed(alone)} was scanned."
        )
    how = by, left_out, n_bootstraps, min_cells
    children, tables = dict(zip(members, generator(rng).spawn(len(members)), strict=True)), {}
    for group in progress_over(chosen, total=len(chosen), description="rank_genes", unit="group"):
        tables[group] = _rank_group(scanned, members[group], how, children[group])
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    table = table.drop(columns="group") if groupby is None else table.astype({"group": pd.CategoricalDtype(chosen)})
    optional = {"exclude": left_out, "layer": fitted.params.get("layer")}
    params = {"groupby": groupby or ALL, "groups": chosen, **_OF_SCANPY, "by": by, "n_bootstraps": n_bootstraps}
    params |= {"min_cells": min_cells, **{name: value for name, value in optional.items() if value}}
    content = {keys.PARAMS: params, **_as_scanpy(tables, fitted.genes, by), keys.TABLE: table}
    rate = keys.pval_adj(key if place == keys.ranking(key) else place)
    column = "pval_adj" if groupby is None else "downstream_mean"
    columns = pd.DataFrame({group: part.set_index("gene")[column] for group, part in tables.items()}, dtype=np.float32)
    columns = columns.reindex(target.var_names).rename(columns=lambda group: keys.column(group, target.var_names))
    slot: dict[str, Any] = {"varm": {place: columns}} if groupby else {"var": {rate: columns[ALL].to_numpy()}}
    write(target, remove={"var": [rate], "varm": [place]}, uns={place: content}, **slot)
    n_found = {group: int((one["pval_adj"] <= FDR).sum()) for group, one in tables.items()}
    empty = [group for group, one in tables.items() if one.empty]
    counts = ", ".join(
        f"{n:,} of {len(tables[group]):,}" + (f" in {group}" if groupby else "")
        for group, n in n_found.items()
        if group not in empty
    )
    few = f" Too few cells to rank genes in {listed(empty)}." if empty else ""
    noise = "" if any(n_found.values()) else " The order of genes may be noise: more or deeper cells are needed."
    first = sorted({mark for one in tables.values() for mark in one["mark"].head(5)} & {MITOCHONDRIAL, RIBOSOMAL})
    kinds = f" Some of the first are {' or '.join(first)}: exclude={first} leaves these out." if first else ""
    say(f"Genes on which others depend (FDR <= 5 %): {counts or 'none'}; see uns[{place!r}].{few}{noise}{kinds}")
    return data if copy else None


@dataclass(frozen=True)
class _Scanned:
    """A scan of cells: sums over parts of them, each of one group and one model."""

    predictor: Predictor
    sums: Sums
    shares: np.ndarray  # of the profiles of the scanned cells, parts x genes
    cells: np.ndarray  # the scanned cells, a mask
    part_of: np.ndarray
    models: np.ndarray  # of each part; -1: none
    downstream: sparse.csr_matrix | None  # of the scanned cells; None where there are too many to draw from

    def parts(self, members: np.ndarray) -> np.ndarray:
        """Return the parts that make up a group, a mask over cells."""
        return np.unique(self.part_of[members])


def _read_scan(predictor: Predictor, key: str, members: dict[str, np.ndarray]) -> _Scanned:
    """Read a scan, and refuse layers that are not of one scan of this expression."""
    adata, places = predictor.adata, {"downstream_mean": keys.downstream(key), "impact_mean": keys.impact(key)}
    texts = ("downstream impacts, which genes rank by,", "scan")
    for place, what in reversed(list(zip(places.values(), texts, strict=True))):
        if place not in layer_names(adata):
            raise KeyError(f"No {what} in adata.layers[{place!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    group_of = np.select(list(members.values()), range(len(members)), -1)
    parts, part_of = np.unique(np.stack([group_of, predictor.models], axis=1), axis=0, return_inverse=True)
    scan = read_scan(adata, predictor.fitted, places, part_of.ravel(), predictor.cells)
    again = f"run dko.tl.scan(adata, key={key!r}) again."
    if scan.differ:
        layers_of = " and ".join(f"adata.layers[{place!r}]" for place in reversed(places.values()))
        raise ValueError(f"{layers_of} are of different scans; {again}")
    if scan.impossible:
        raise ValueError(
            f"adata.layers[{places['impact_mean']!r}] has impacts where the cell does not express the gene, or has no "
            f"model: the expression is not the one that was scanned; {again}"
        )
    # A cell that expresses a gene that was knocked out and has no impacts was left out. Where there is none such, the
    # scan has gone over all cells; otherwise only over those with impacts, as far as anyone can say.
    cells, shares = scan.with_impacts, scan.sums.shares
    if not scan.left_out:
        cells, shares = predictor.cells & scan.expressing, shares + scan.sums.other_shares
    downstream = None
    if cells.sum() <= MOST_CELLS:
        downstream = read_rows(adata.layers[places["downstream_mean"]], cells)[:, predictor.columns]
    return _Scanned(predictor, scan.sums, shares, cells, part_of.ravel(), parts[:, 1], downstream)


def _rank_group(
    scanned: _Scanned, members: np.ndarray, how: tuple[str, list[str], int, int], rng: np.random.Generator
) -> pd.DataFrame:
    """Return a row per gene that enough scanned cells of a group express, best first."""
    by, left_out, n_bootstraps, min_cells = how
    sums, var = scanned.sums.over(scanned.parts(members)), scanned.predictor.adata.var.iloc[scanned.predictor.columns]
    table = gene_means(sums, var)
    n_cells = table["n_cells"].to_numpy()
    kept, kinds = n_cells >= min_cells, gene_kinds(var, n_cells)
    for kind in left_out:
        kept &= ~kinds[kind]
    if scanned.downstream is None:
        low, high = normal_means(n_cells, table["downstream_mean"].to_numpy(), sums.squares)
    else:
        low, high = bootstrap_means(scanned.downstream[members[scanned.cells]], n_bootstraps, rng)
    table["downstream_low"], table["downstream_high"] = low, high
    if not members.all():
        table["specificity"] = _specificity(scanned, members)
    table["pval"] = _p_values(scanned, members & scanned.cells, rng)
    table = table[kept]
    table["pval_adj"] = false_discovery_control(table["pval"]) if len(table) else table["pval"]
    return in_order(table, by, "pval_adj")[[name for name in _COLUMNS if name in table]]


def _specificity(scanned: _Scanned, members: np.ndarray) -> np.ndarray:
    """Return the log2 ratio of the mean downstream impact in a group and in other cells; NaN where there are none."""
    sides = [scanned.sums.over(scanned.parts(some)).impacts["downstream_mean"] for some in (members, ~members)]
    n_here, n_elsewhere = (int(scanned.cells[some].sum()) for some in (members, ~members))
    if not n_elsewhere:
        return np.full(len(sides[0]), np.nan)
    mean, other = sides[0] / max(n_here, 1), sides[1] / n_elsewhere
    known = (mean > 0) | (other > 0)
    constant = np.median((mean + other)[known] / 2) if known.any() else 1.0
    return np.log2((mean + constant) / (other + constant))


def _p_values(scanned: _Scanned, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Test of each gene that others depend on it, against genes that the fit has permuted, or that are permuted now."""
    predictor, sums = scanned.predictor, scanned.sums
    found = [np.ones(sums.shares.shape[1])]
    parts, n_cells = scanned.parts(cells), np.bincount(scanned.part_of[cells], minlength=len(scanned.models))
    for number in np.unique(predictor.models[cells]):
        here = parts[scanned.models[parts] == number]
        profile = scanned.shares[here].sum(axis=0) / n_cells[here].sum()
        # How noisy its effects are depends on all cells of the model, not on those that are looked at.
        seen = sums.over(np.flatnonzero(scanned.models == number)).n_seen
        p_values = predictor.model.part(int(number)).p_values(profile, seen)
        if p_values is None:
            return _p_values_of_cells(predictor, cells, rng)
        found.append(p_values)
    return np.minimum(1, max(1, len(found) - 1) * np.min(found, axis=0))


def _p_values_of_cells(predictor: Predictor, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from ..models.dko import total

    if cells.sum() < _FEWEST:
        return np.ones(len(predictor.columns))
    values = read_linear(predictor.adata, predictor.fitted, some_cells(cells, rng))
    if values.shape[0] < cells.sum():
        say(f"p-values are of {drawn_of(values.shape[0], int(cells.sum()), 'cell')}.")
    counts = counts_again(values)
    if counts is None:
        say("Not all values can be turned back into counts: p-values are approximate.")
    totals = np.asarray((values if counts is None else counts).sum(axis=1, dtype=np.float64)).ravel()
    return total.fit(profiles(values), totals, rng, counts=counts is not None).p_values


def _as_scanpy(tables: dict[str, pd.DataFrame], genes: list[str], by: str) -> dict[str, np.ndarray]:
    """Return what ``rank_genes_groups`` returns: a field per group, all genes, best first, those left out last."""
    columns = {}
    for group, table in tables.items():
        ranked = table.set_index("gene").rename(columns={"pval": "pvals", "pval_adj": "pvals_adj"})
        ranked = ranked.assign(scores=ranked[by], logfoldchanges=ranked.get("specificity", 0.0 * ranked[by]))
        ranked["logfoldchanges"] = ranked["logfoldchanges"].fillna(0)
        last = [gene for gene in genes if gene not in ranked.index]
        ranked = ranked.reindex([*ranked.index, *last]).fillna({"pvals": 1, "pvals_adj": 1})
        columns[group] = ranked.assign(names=ranked.index.to_numpy(dtype=object))
    return {
        name: np.rec.fromarrays(
            [frame[name].to_numpy() for frame in columns.values()], dtype=[(group, kind) for group in columns]
        )
        for name, kind in _TYPES.items()
    }
