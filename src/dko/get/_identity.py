"""Which cell types knockouts would bring cells closer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import unknown
from .._core.names import labels_of
from .._core.results import IDENTITY, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from .._core.names import Knockouts


@verb
def identity(
    adata: AnnData | MuData, genes: Knockouts | None = None, *, key: str = keys.DEFAULT, mod: str = "rna"
) -> pd.DataFrame:
    """Return the table of :func:`dko.tl.identity_shift`, which says what its columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.identity_shift`.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`, or their labels; all by default.
    %(results)s

    Returns
    -------
    A row per ``knockout``, ``group`` of cells and ``type``: mean ``change`` of the similarity to the type, mean
    ``length`` of the shift and ``n_cells``; without `groupby` a row per knockout, without ``type`` and ``change``.

    Raises
    ------
    KeyError
        There are no shifts, or none of such a knockout.
    """
    table = read_table(unwrap(adata, mod), IDENTITY, key)
    if genes is None:
        return table
    known = list(dict.fromkeys(table["knockout"]))
    labels = list(dict.fromkeys(labels_of(genes)))
    if missing := [label for label in labels if label not in known]:
        where = f"adata.uns[{keys.identity(key)!r}]"
        raise KeyError(f"{unknown('knockout', missing, known, where)} Run dko.tl.identity_shift for it first.")
    order = {label: place for place, label in enumerate(labels)}
    chosen = table[table["knockout"].isin(labels)]
    return chosen.sort_values("knockout", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)
