"""Sets of genes that a knockout changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import say
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
        A knockout, or a list of them; by default all that there are.
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
        No such method or column; no set with so many genes.
    """
    from ..get._tables import affected_genes, labels_of_rows

    run = _method(method)
    if missing := [name for name in ("source", "target") if name not in net]:
        raise ValueError(
            f"net lacks the column {missing[0]!r}: it needs 'source' and 'target', a row per gene of a set."
        )
    data = writable(adata, copy, mod)
    values = affected_genes(data, gene, as_wide=True, by=by, key=key, mod=mod)
    shared = net[net["target"].isin(values.columns)].groupby("source", observed=True)["target"].nunique()
    if not (shared >= min_targets).any():
        raise ValueError(f"No set of net has {min_targets} genes of the model or more; are its targets var_names?")
    scores, adjusted = run(data=values, net=net, tmin=min_targets, verbose=False)
    rows = affected_genes(data, gene, key=key, mod=mod)
    names = [name for name in ("knockout", "group") if name in rows]
    labels = rows[names].assign(label=labels_of_rows(rows)).drop_duplicates("label").set_index("label")
    table = _tidy(scores, adjusted, labels)
    content = {keys.PARAMS: {"method": method, "by": by, "min_targets": min_targets}, keys.TABLE: table}
    write(unwrap(data, mod), uns={keys.enrichment(key): content})
    say(f"Scored {table['source'].nunique()} sets of genes by {method}. They are in uns[{keys.enrichment(key)!r}].")
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


def _tidy(scores: pd.DataFrame, adjusted: pd.DataFrame | None, labels: pd.DataFrame) -> pd.DataFrame:
    """Return a row per knockout, group and set; `labels` has the names that belong to the rows of the scores."""
    table = scores.rename_axis(index="label", columns="source").stack().rename("score").reset_index()
    if adjusted is not None:
        table["pval_adj"] = adjusted.loc[scores.index, scores.columns].to_numpy().ravel()
    names = list(labels.columns)
    table = labels.loc[table["label"]].reset_index(drop=True).join(table.drop(columns="label"))
    table = table.sort_values([*names, "score"], ascending=[*([True] * len(names)), False], ignore_index=True)
    return table.astype(dict.fromkeys([*names, "source"], str)).astype(dict.fromkeys([*names, "source"], "category"))
