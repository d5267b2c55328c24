"""Interactions of pairs of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import listed, unknown
from .._core.results import INTERACTIONS, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_NAMES = ["group", "gene_a", "gene_b"]
# Of one of the two genes, not of the pair.
_OF_ONE = ["downstream_a", "downstream_b", "impact_a", "impact_b", "coefficient_a", "coefficient_b"]


@verb
def interactions(
    adata: AnnData | MuData,
    *,
    group: str | None = None,
    matrix: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the interactions of :func:`dko.tl.interactions`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.interactions`.
    group
        Only this group. Default: all, where there are any.
    matrix
        Column of the table to return as a matrix, such as ``"interaction"``, ``"z"`` or ``"class"``.
    %(results)s

    Returns
    -------
    A row per pair (and group). With `matrix`, genes x genes, symmetric, the genes sorted by name; NaN on the diagonal
    and for pairs that are not there.

    Raises
    ------
    KeyError
        There are none; no such group or column.
    ValueError
        A matrix of several groups, or of what belongs to one gene of a pair.
    """
    table = read_table(unwrap(adata, mod), INTERACTIONS, key)
    groups = table["group"].astype(str).unique() if "group" in table else []
    if group is not None:
        if group not in groups:
            raise KeyError(unknown("group", [group], groups, f"the interactions {key!r}"))
        table = table[table["group"] == group].drop(columns="group").reset_index(drop=True)
    return table if matrix is None else _matrix(table, matrix)


def _matrix(table: pd.DataFrame, column: str) -> pd.DataFrame:
    if "group" in table:
        raise ValueError(f"A matrix is of one group; name it, group=... of {listed(table['group'].cat.categories)}.")
    known = [name for name in table if name not in (*_NAMES, *_OF_ONE)]
    if column not in known:
        kind = ValueError if column in (*_NAMES, *_OF_ONE) else KeyError
        raise kind(f"matrix={column!r} must be what belongs to a pair: {listed(known, len(known))}.")
    a, b = (table[name].astype(str).to_numpy() for name in ("gene_a", "gene_b"))
    genes = sorted({*a, *b})
    values = table[column].astype(object) if table[column].dtype == "category" else table[column]
    one_way = pd.Series(values.to_numpy(), index=pd.MultiIndex.from_arrays([a, b]))
    other_way = one_way.swaplevel()
    return pd.concat([one_way, other_way]).unstack().reindex(index=genes, columns=genes)
