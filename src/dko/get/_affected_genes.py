"""Genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import unknown
from .._core.results import AFFECTED, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

_VALUES = ("z", "change")


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
    """Return the genes that knockouts change, of :func:`dko.tl.affected_genes`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.affected_genes`.
    gene
        A knockout, or a list of them; by default all that there are.
    group
        A group, or a list of them; by default all that there are.
    as_wide
        Return knockouts (or knockouts and groups) x genes, as decoupler takes them; 0 where there is no value.
    by
        What `as_wide` holds: ``"z"`` or ``"change"``.
    %(results)s

    Returns
    -------
    A row per ``knockout`` (, ``group``) and ``gene``; or with `as_wide` float64, a row ``"KNOCKOUT"`` or
    ``"KNOCKOUT (group)"`` each, genes in columns.

    Raises
    ------
    KeyError
        There are none, or not of this knockout or group.
    ValueError
        There is no such value.
    """
    if by not in _VALUES:
        raise ValueError(f"by={by!r} must be 'z' or 'change'.")
    table = read_table(unwrap(adata, mod), AFFECTED, key)
    for column, wanted in (("knockout", gene), ("group", group)):
        if wanted is not None:
            table = _chosen(table, column, [wanted] if isinstance(wanted, str) else list(wanted), keys.affected(key))
    table = table.reset_index(drop=True)
    if not as_wide:
        return table
    found = table.assign(label=labels_of_rows(table), gene=table["gene"].astype(object))
    wide = found.pivot(index="label", columns="gene", values=by)
    return wide.astype(float).fillna(0.0).rename_axis(index=None, columns=None)


def labels_of_rows(table: pd.DataFrame) -> pd.Series:
    """Return the name of a knockout, or of a knockout in a group."""
    knockout = table["knockout"].astype(str)
    return knockout + " (" + table["group"].astype(str) + ")" if "group" in table else knockout


def _chosen(table: pd.DataFrame, column: str, wanted: list[str], place: str) -> pd.DataFrame:
    known = set(table[column]) if column in table else set()
    if missing := [name for name in wanted if name not in known]:
        raise KeyError(unknown(column, missing, known, f"adata.uns[{place!r}]"))
    return table[table[column].isin(wanted)]
