"""What a scan says of each gene in a group of cells, and whether that is more than noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import false_discovery_control

from .._compat import layer_names
from .._core import keys
from .._core.cells import profiles
from .._core.evidence import counts_again
from .._core.fitted import read_linear
from .._core.genes import gene_kinds, gene_means, in_order
from .._core.messages import say

if TYPE_CHECKING:
    from .._typing import Iterable, Predictor

_COLUMNS = [
    *("gene", "downstream_mean", "downstream_low", "downstream_high", "impact_mean", "specificity", "pval", "pval_adj"),
    *("n_cells", "fraction", "expression_mean", "mark"),
]
# Of scanpy's rank_genes_groups.
_TYPES = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}
# Fewer cells say nothing of co-expression.
_FEWEST = 5


class Plan(NamedTuple):
    """What the user asked for."""

    by: str
    exclude: tuple[str, ...]
    n_bootstraps: int
    min_cells: int


class Scanned(NamedTuple):
    """A scan and what is observed in the same cells (mask `cells`): CSR, an entry wherever a gene was knocked out."""

    impact: sparse.csr_matrix
    downstream: sparse.csr_matrix
    values: sparse.csr_matrix
    observed: sparse.csr_matrix
    cells: np.ndarray

    def part(self, members: np.ndarray) -> Scanned:
        """Return some of the cells, a mask."""
        rows = np.flatnonzero(members)
        return self if len(rows) == len(members) else Scanned(*(one[rows] for one in self))


def read_scan(predictor: Predictor, key: str, groups: Iterable[np.ndarray]) -> Scanned:
    """Read a scan, and refuse layers that are not of one scan of this expression; `groups` are masks of cells."""
    layers, places = [], (keys.impact(key), keys.downstream(key))
    for place, what in zip(places, ("scan", "downstream impacts, which genes rank by,"), strict=True):
        if place not in layer_names(predictor.adata):
            raise KeyError(f"No {what} in adata.layers[{place!r}]; run dko.tl.scan(adata, key={key!r}) first.")
        layers.append(sparse.csr_matrix(predictor.adata.layers[place])[:, predictor.columns])
        layers[-1].sort_indices()
    impact, downstream = layers
    values = read_linear(predictor.adata, predictor.fitted)
    again = f"run dko.tl.scan(adata, key={key!r}) again."
    if not (np.array_equal(impact.indptr, downstream.indptr) and np.array_equal(impact.indices, downstream.indices)):
        layers_of = " and ".join(f"adata.layers[{place!r}]" for place in places)
        raise ValueError(f"{layers_of} are of different scans; {again}")
    # Ones, as an entry of 0 is an impact, too.
    knocked_out, present = (
        sparse.csr_matrix((np.ones(one.nnz, dtype=bool), one.indices, one.indptr), shape=one.shape)
        for one in (impact, values)
    )
    if knocked_out.multiply(present).nnz < impact.nnz or np.diff(impact.indptr)[~predictor.cells].any():
        raise ValueError(
            f"adata.layers[{places[0]!r}] has impacts where the cell does not express the gene, or has no model: the "
            f"expression is not the one that was scanned; {again}"
        )
    # A cell that expresses a gene that was knocked out and has no impacts was left out. Where there is none such in a
    # group, the scan has gone over all of its cells; otherwise only over those with impacts, as far as anyone can say.
    with_impacts, expressing = np.diff(impact.indptr) > 0, predictor.cells & (np.diff(values.indptr) > 0)
    left_out = predictor.cells & (present @ (knocked_out.getnnz(axis=0) > 0) > 0) & ~with_impacts
    scanned = with_impacts.copy()
    for group in groups:
        if not left_out[group].any():
            scanned[group] = expressing[group]
    return Scanned(impact, downstream, values, profiles(values), scanned)


def rank_group(
    scanned: Scanned, members: np.ndarray, predictor: Predictor, plan: Plan, rng: np.random.Generator
) -> pd.DataFrame:
    """Return a row per gene that enough scanned cells of a group express, best first."""
    from ..models.statistics import bootstrap_means

    part, var = scanned.part(members), predictor.adata.var.iloc[predictor.columns]
    table = gene_means({"downstream_mean": part.downstream, "impact_mean": part.impact}, part.observed, var)
    n_cells = table["n_cells"].to_numpy()
    kinds = gene_kinds(var, n_cells)
    kept = n_cells >= plan.min_cells
    for kind in plan.exclude:
        kept &= ~kinds[kind]
    ends = bootstrap_means(part.downstream[part.cells], plan.n_bootstraps, rng)
    table["downstream_low"], table["downstream_high"] = ends
    if not members.all():
        table["specificity"] = _specificity(part, scanned.part(~members))
    table["pval"] = _p_values(scanned, members & scanned.cells, predictor, rng)
    table = table[kept]
    table["pval_adj"] = false_discovery_control(table["pval"]) if len(table) else table["pval"]
    return in_order(table, plan.by, "pval_adj")[[name for name in _COLUMNS if name in table]]


def _specificity(here: Scanned, elsewhere: Scanned) -> np.ndarray:
    """Return the log2 ratio of the mean downstream impact in a group and in other cells; NaN where there are none."""
    if not elsewhere.cells.any():
        return np.full(here.downstream.shape[1], np.nan)
    mean, other = (
        np.bincount(cells.downstream.indices, cells.downstream.data, cells.downstream.shape[1])
        / max(int(cells.cells.sum()), 1)
        for cells in (here, elsewhere)
    )
    known = (mean > 0) | (other > 0)
    constant = np.median((mean + other)[known] / 2) if known.any() else 1.0
    return np.log2((mean + constant) / (other + constant))


def _p_values(scanned: Scanned, cells: np.ndarray, predictor: Predictor, rng: np.random.Generator) -> np.ndarray:
    """Test of each gene that others depend on it, against genes that the fit has permuted, or that are permuted now."""
    found = [np.ones(scanned.observed.shape[1])]
    for number in np.unique(predictor.models[cells]):
        of_model = predictor.models == number
        profile = np.asarray(scanned.observed[cells & of_model].mean(axis=0), dtype=np.float64).ravel()
        # How noisy its effects are depends on all cells of the model, not on those that are looked at.
        seen = np.bincount(scanned.observed[of_model].indices, minlength=len(profile))
        p_values = predictor.model.part(int(number)).p_values(profile, seen)
        if p_values is None:
            return _p_values_of_cells(scanned.part(cells), rng)
        found.append(p_values)
    return np.minimum(1, max(1, len(found) - 1) * np.min(found, axis=0))


def _p_values_of_cells(scanned: Scanned, rng: np.random.Generator) -> np.ndarray:
    from ..models.dko import total

    if scanned.observed.shape[0] < _FEWEST:
        return np.ones(scanned.observed.shape[1])
    counts = counts_again(scanned.values)
    if counts is None:
        say("No counts can be recovered from these values: p-values are approximate.")
    totals = np.asarray((scanned.values if counts is None else counts).sum(axis=1, dtype=np.float64)).ravel()
    return total.fit(scanned.observed, totals, rng, counts=counts is not None).p_values


def as_scanpy(tables: dict[str, pd.DataFrame], genes: list[str], by: str) -> dict[str, np.ndarray]:
    """Return what ``rank_genes_groups`` returns: a field per group, all genes, best first, those left out last."""
    columns = {}
    for group, table in tables.items():
        ranked = table.set_index("gene")
        found = {"scores": ranked[by], "pvals": ranked["pval"], "pvals_adj": ranked["pval_adj"]}
        found["logfoldchanges"] = ranked["specificity"].fillna(0) if "specificity" in ranked else 0.0 * ranked[by]
        last = [gene for gene in genes if gene not in ranked.index]
        frame = pd.DataFrame(found).reindex([*ranked.index, *last]).fillna({"pvals": 1, "pvals_adj": 1})
        columns[group] = frame.assign(names=frame.index.to_numpy(dtype=object))
    return {
        name: np.rec.fromarrays(
            [frame[name].to_numpy() for frame in columns.values()], dtype=[(group, kind) for group in columns]
        )
        for name, kind in _TYPES.items()
    }
