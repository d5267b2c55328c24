"""Sets of genes that a knockout changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import many, say, shown
from .._core.verb import verb
from .._core.write import writable, write

if TYPE_CHECKING:
    from .._typing import AnnData, Callable, MuData, Sequence


@verb
def enrichment(
    adata: AnnData | MuData,
    net: pd.DataFrame,
    *,
    gene: str | Sequence[str] | None = None,
    by: str = "z",
    method: str = "ulm",
    min_targets: int = 5,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score which sets of genes a knockout changes, by a method of decoupler, which has to be installed.

    Parameters
    ----------
    adata
        After :func:`dko.tl.affected_genes`.
    net
        Sets of genes as decoupler has them: columns ``source``, ``target`` and, if they differ, ``weight``.
    gene
        A knockout, or a list of them; all by default.
    by
        What is given to the method, ``"z"`` or ``"change"``. Genes that were not tested count as 0.
    method
        Name of a function of ``decoupler.mt``: ``"ulm"``, ``"mlm"``, ``"gsea"`` ...
    min_targets
        Leave out sets that share fewer genes with the model.
    %(results)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_enrichment"]`` with ``params`` and ``table``, a DataFrame with a row
    per ``knockout`` (, ``group``) and ``source``, the largest score first: ``score``, below 0 where the knockout lowers
    the set, and ``pval_adj``, the false discovery rate over the sets, where the method has one.
    :func:`dko.get.enrichment` reads it.

    Raises
    ------
    ImportError
        decoupler is not installed.
    KeyError
        No affected genes, or not of this knockout.
    ValueError
        No such method or column; no set with `min_targets` genes, or fewer than 1.
    TypeError
        `net` is no DataFrame.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.affected_genes(adata, "CD74")
    >>> mhc = ["HLA-DRA", "HLA-DRB1", "HLA-DPA1", "HLA-DPB1", "HLA-DQA1"]
    >>> net = pd.DataFrame({"source": "MHC class II", "target": mhc})
    >>> dko.tl.enrichment(adata, net)  # the score is below 0: without CD74 the set falls
    """
    from ..get._tables import affected_genes

    run = _method(method)
    if not isinstance(net, pd.DataFrame):
        raise TypeError(f"net={shown(net)} must be a DataFrame with the columns 'source' and 'target'.")
    if min_targets < 1:
        raise ValueError(f"min_targets={min_targets} must be at least 1.")
    if missing := [name for name in ("source", "target") if name not in net]:
        raise ValueError(
            f"net lacks the column {missing[0]!r}: it needs 'source' and 'target', a row per gene of a set."
        )
    data = writable(adata, copy, mod)
    found = affected_genes(data, gene, by=by, key=key, mod=mod)
    names = [name for name in ("knockout", "group") if name in found]
    found = found.astype({**dict.fromkeys([*names, "gene"], str), by: float})
    values = found.pivot(index=names, columns="gene", values=by).fillna(0.0)
    shared = net[net["target"].isin(values.columns)].groupby("source", observed=True)["target"].nunique()
    if not (shared >= min_targets).any():
        raise ValueError(f"No set of net has {min_targets} genes of the model or more; are its targets var_names?")
    rows = values.index.to_frame(index=False)
    scores, adjusted = run(data=values.set_index(rows.index.astype(str)), net=net, tmin=min_targets, verbose=False)
    columns = {name: one.stack() for name, one in (("score", scores), ("pval_adj", adjusted)) if one is not None}
    table = pd.concat(columns, axis=1).rename_axis(["row", "source"]).reset_index()
    table = rows.loc[table.pop("row").astype(int)].reset_index(drop=True).join(table)
    table = table.sort_values([*names, "score"], ascending=[*(True for _ in names), False], ignore_index=True)
    table = table.astype(dict.fromkeys([*names, "source"], str)).astype(dict.fromkeys([*names, "source"], "category"))
    content = {keys.PARAMS: {"method": method, "by": by, "min_targets": min_targets}, keys.TABLE: table}
    write(unwrap(data, mod), uns={keys.enrichment(key): content})
    say(f"Scored {many(table['source'].nunique(), 'set')} of genes by {method}; see uns[{keys.enrichment(key)!r}].")
    return data if copy else None


def _method(name: str) -> Callable[..., Any]:
    try:
        import decoupler
    except ImportError as error:
        raise ImportError(
            "dko.tl.enrichment needs decoupler 2; install it with pip install 'dko[enrichment]'."
        ) from error
    if not hasattr(getattr(decoupler, "mt", None), name):
        raise ValueError(f"method={name!r} is no function of decoupler.mt, version 2 of decoupler.")
    return getattr(decoupler.mt, name)
