"""Tables that verbs have written, read as they are, or only the rows that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from .._core import keys, results
from .._core.cells import unwrap
from .._core.messages import listed, require_one_of, unknown
from .._core.names import Knockouts, known_labels
from .._core.results import Result, read_entry, read_params, read_table
from .._core.verb import verb


def _rows(adata: AnnData, result: Result, key: str, name: str = keys.TABLE, **wanted: Any) -> pd.DataFrame:
    """Return the rows of a table with the wanted values in columns, in the order asked for; None wants all."""
    table = read_table(adata, result, key, name)
    for column, names in wanted.items():
        if names is None:
            continue
        found = read_table(adata, result, key)
        known, where = found[column].unique() if column in found else [], f"adata.uns[{result.place(key)!r}]"
        if column == "knockout":
            names = known_labels(names, known, where, f"dko.tl.{result.call[0]}")
        names = [names] if isinstance(names, str) else list(names)
        if missing := [name for name in names if name not in known]:
            raise KeyError(unknown(column, missing, known, where))
        order = pd.Index(dict.fromkeys(names)).get_indexer(
            table.get(column, pd.Series(index=table.index)).astype(object)
        )
        table = table.iloc[np.argsort(order, kind="stable")[(order < 0).sum() :]]
    return table.reset_index(drop=True)


def _named_table(adata: AnnData, result: Result, key: str, what: str, *tables: str) -> pd.DataFrame:
    entry = read_entry(adata, result, key)
    require_one_of(tables, what=what)
    if what == "agreement" and keys.AGREEMENT not in entry:
        raise KeyError(f"No agreement: dko.tl.{result.call[0]} was given no groups to compare {result.what} with.")
    return read_table(adata, result, key, keys.TABLE if what == "modules" else what)


@verb
def affected_genes(
    adata: AnnData | MuData,
    gene: str | Sequence[str] | None = None,
    *,
    group: str | Sequence[str] | None = None,
    as_wide: bool = False,
    by: str = "z",
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the genes that knockouts change, as :func:`dko.tl.affected_genes` describes them.

    Parameters
    ----------
    adata
        After :func:`dko.tl.affected_genes`.
    gene, group
        Knockouts and groups, in this order; by default all.
    as_wide
        Return knockouts, ``"KNOCKOUT"`` or ``"KNOCKOUT (group)"``, x genes, float64, as decoupler takes them; 0 where
        there is no value. Otherwise a row per ``knockout`` (, ``group``) and ``gene``.
    by
        What `as_wide` holds: ``"z"`` or ``"change"``.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.affected_genes(adata, "CD74")
    >>> dko.get.affected_genes(adata, "CD74")[["gene", "change"]].head(3).round(1)
           gene  change
    0   HLA-DRA    -0.5
    1  HLA-DRB1    -0.5
    2  HLA-DPB1    -0.5
    """
    require_one_of(("z", "change"), by=by)
    table = _rows(unwrap(adata, mod), results.AFFECTED, key, group=group, knockout=gene)
    if not as_wide:
        return table
    label = table["knockout"].astype(str)
    label = label + " (" + table["group"].astype(str) + ")" if "group" in table else label
    found = table.assign(label=label, gene=table["gene"].astype(object))
    wide = found.pivot(index="label", columns="gene", values=by)
    return wide.astype(float).fillna(0.0).rename_axis(index=None, columns=None)


@verb
def enrichment(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the gene sets that knockouts change, a row per ``knockout`` (, ``group``) and ``source``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.enrichment`, which describes the columns.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.affected_genes(adata, "CD74")
    >>> mhc = ["HLA-DRA", "HLA-DRB1", "HLA-DPA1", "HLA-DPB1", "HLA-DQA1"]
    >>> net = pd.DataFrame({"source": "MHC class II", "target": mhc})
    >>> dko.tl.enrichment(adata, net)
    >>> dko.get.enrichment(adata).columns.tolist()[:3]
    ['knockout', 'source', 'score']
    """
    return _rows(unwrap(adata, mod), results.ENRICHMENT, key)


@verb
def dose_response(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    responders: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the effects of knockouts at several doses, a row per ``knockout`` and ``dose``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.dose_response`, which describes the columns.
    %(labels)s
    responders
        Return the genes that change most instead, with their mean change at each dose.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.dose_response(adata, "CD74", doses=[0, 0.5, 1])
    >>> dko.get.dose_response(adata)[["dose", "impact_mean", "downstream_mean"]].round(2)
       dose  impact_mean  downstream_mean
    0   0.0         0.00             0.00
    1   0.5         0.06             0.05
    2   1.0         0.12             0.09
    >>> dko.get.dose_response(adata, responders=True)["gene"].unique().tolist()[:3]
    ['HLA-DRA', 'HLA-DRB1', 'HLA-DPB1']
    """
    name = keys.RESPONDERS if responders else keys.TABLE
    return _rows(unwrap(adata, mod), results.DOSES, key, name, knockout=genes)


@verb
def identity(
    adata: AnnData | MuData, genes: Knockouts | None = None, *, key: str = keys.DEFAULT, mod: str = "rna"
) -> pd.DataFrame:
    """Return which cell types knockouts bring cells closer to, a row per ``knockout``, ``group`` of cells and ``type``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.identity_shift`, which describes the columns.
    %(labels)s
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.identity_shift(adata, "CD74", groupby="cell_type")
    >>> identity = dko.get.identity(adata, "CD74")
    >>> identity.nlargest(1, "change")[["group", "type"]]
            group                 type
    95  Dendritic  CD4+/CD45RO+ Memory
    """
    return _rows(unwrap(adata, mod), results.IDENTITY, key, knockout=genes)


@verb
def clusters(
    adata: AnnData | MuData, *, what: str = "markers", key: str = keys.DEFAULT, mod: str = "rna"
) -> pd.DataFrame:
    """Return a table of the clusters of cells; the clusters themselves are in ``obs[f"{key}_cluster"]``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.cluster_impact`, which describes the columns.
    what
        ``"markers"``, a row per ``cluster`` and ``knockout`` with a larger impact there than in the others, best first;
        or, where `groupby` was given, the one row of the ``"agreement"`` of clusters and groups.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.tl.cluster_impact(adata, groupby="cell_type")
    >>> dko.get.clusters(adata).columns.tolist()[:4]
    ['cluster', 'knockout', 'score', 'log_fold_change']
    >>> dko.get.clusters(adata, what="agreement").columns.tolist()
    ['groupby', 'ari', 'ami', 'n_clusters', 'n_groups', 'n_cells']
    """
    return _named_table(unwrap(adata, mod), results.CLUSTERS, key, what, keys.MARKERS, keys.AGREEMENT)


@verb
def modules(
    adata: AnnData | MuData,
    *,
    what: str = "modules",
    as_anndata: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame | AnnData:
    """Return the modules of perturbations.

    Parameters
    ----------
    adata
        After :func:`dko.tl.perturbation_modules`, which describes the columns.
    what
        ``"modules"`` (of each perturbation), their ``"markers"``, or, where groups were given, the ``"agreement"``.
    as_anndata
        Return perturbations x dimensions of the basis, for scanpy, with the table of modules in ``obs``,
        ``obsm["X_umap"]``, ``uns["markers"]`` and ``uns["agreement"]``.
    %(table)s

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, model="sccvae", perturbation_key="perturbation", control="control", max_steps=100)
    >>> dko.tl.perturbation_modules(screen)
    >>> dko.get.modules(screen).columns.tolist()[:4]
    ['perturbation', 'module', 'strength', 'p_effect']
    >>> dko.get.modules(screen, what="markers").columns.tolist()
    ['module', 'gene', 'change', 'others']
    """
    target, result = unwrap(adata, mod), results.MODULES
    found = _named_table(target, result, key, what, "modules", keys.MARKERS, keys.AGREEMENT)
    if not as_anndata:
        return found
    entry, table = read_entry(target, result, key), read_table(target, result, key)
    table.index = table["perturbation"].astype(str).to_list()
    # The largest module first, perturbations without effect last.
    order = sorted(table["module"].astype(str).unique(), key=lambda name: (name == keys.NO_EFFECT, len(name), name))
    table["module"] = pd.Categorical(table["module"], categories=order)
    vectors = np.array(entry[keys.VECTORS], dtype=np.float32)
    names = [f"{read_params(target, result, key)['basis']}_{number}" for number in range(1, vectors.shape[1] + 1)]
    places = ["umap_1", "umap_2"]
    obsm = {"X_umap": table[places].to_numpy(dtype=float)}
    uns = {name: read_table(target, result, key, name) for name in (keys.MARKERS, keys.AGREEMENT) if name in entry}
    return AnnData(vectors, obs=table.drop(columns=places), var=pd.DataFrame(index=names), obsm=obsm, uns=uns)


@verb
def interactions(
    adata: AnnData | MuData,
    *,
    group: str | None = None,
    matrix: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the interactions of pairs of genes, a row per pair (and group).

    Parameters
    ----------
    adata
        After :func:`dko.tl.interactions`, which describes the columns.
    group
        Only this group. Default: all, where there are any.
    matrix
        Column to return as genes x genes instead, such as ``"interaction"``, ``"z"`` or ``"class"``: symmetric, the
        genes sorted by name; NaN on the diagonal and for pairs that are not there.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.interactions(adata, ["CD74", "HLA-DRA", "NKG7"])
    >>> dko.get.interactions(adata, matrix="class")
                  CD74    HLA-DRA       NKG7
    CD74           NaN   additive  buffering
    HLA-DRA   additive        NaN  buffering
    NKG7     buffering  buffering        NaN
    """
    table = _rows(unwrap(adata, mod), results.INTERACTIONS, key, group=group)
    table = table if group is None else table.drop(columns="group")
    if matrix is None:
        return table
    if "group" in table:
        raise ValueError(f"A matrix is of one group; name it, group=... of {listed(table['group'].unique())}.")
    known = [name for name in table if not name.endswith(("_a", "_b"))]
    if matrix not in known:
        raise KeyError(f"matrix={matrix!r} must be a column that describes a pair: {listed(known, len(known))}.")
    one_way = table[["gene_a", "gene_b", matrix]].astype({"gene_a": str, "gene_b": str})
    both_ways = pd.concat([one_way, one_way.rename(columns={"gene_a": "gene_b", "gene_b": "gene_a"})])
    return both_ways.pivot(index="gene_a", columns="gene_b", values=matrix).rename_axis(index=None, columns=None)
