"""What knockouts do by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import unknown
from .._core.names import labels_of
from .._core.results import DOSES, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .._core.names import Knockouts


@verb
def dose_response(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    responders: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the table of :func:`dko.tl.dose_response`, which says what its columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.dose_response`.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`, or their labels; all by default.
    responders
        Return the genes that change most instead, with their mean change at each dose.
    %(results)s

    Returns
    -------
    A row per ``knockout`` and ``dose``; with `responders` per ``knockout``, ``gene`` and ``dose``.

    Raises
    ------
    KeyError
        There are no doses, or none of such a knockout.
    """
    target = unwrap(adata, mod)
    table = read_table(target, DOSES, key, keys.RESPONDERS if responders else keys.TABLE)
    if genes is None:
        return table
    known = list(dict.fromkeys(read_table(target, DOSES, key)["knockout"]))
    labels = list(dict.fromkeys(labels_of(genes)))
    if missing := [label for label in labels if label not in known]:
        raise KeyError(unknown("knockout", missing, known, "the dose response"))
    chosen = table[table["knockout"].isin(labels)]
    # In the order that was asked for.
    order = chosen["knockout"].map({label: place for place, label in enumerate(labels)}).argsort(kind="stable")
    return chosen.iloc[order].reset_index(drop=True)
