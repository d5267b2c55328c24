"""An embedding to look at cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.verb import verb
from ._files import write_page
from ._target import check_target

if TYPE_CHECKING:
    from .._typing import AnnData, MuData, Path, Sequence


@verb
def write_embedding(
    adata: AnnData | MuData,
    path: str | Path,
    *,
    genes: str | Sequence[str] | None = None,
    basis: str = "umap",
    downstream: bool = False,
    groupby: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    title: str | None = None,
) -> None:
    """Write cells on an embedding as one HTML page that shows the name and the impacts of the cell under the pointer.

    Cells are coloured by group or by the impact of a knockout, as chosen on the page, all on one scale. The page can be
    zoomed and loads nothing, so that it can be sent by mail. At most 20,000 cells, chosen at random, are drawn; the
    page then says so.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    path
        File to write, usually ``.html``. An older file is replaced once the new one is complete.
    genes
        One or several labels, as in :func:`dko.get.impact`; by default the first ten named knockouts or, without any,
        the first ten genes of the ranking, taken from the groups in turn.
    basis
        Embedding in ``obsm``, with or without its ``X_``.
    downstream
        Impacts on the other genes alone.
    groupby
        ``obs`` column of cell types, in the colours of ``uns``; by default that of :func:`dko.tl.rank_genes`, or of the
        fit, if any.
    %(results)s
    title
        Of the page.

    Returns
    -------
    None. Writes the page.

    Raises
    ------
    KeyError, ValueError
        No fit, and no such impact, embedding or column.
    OSError
        A folder, or anything else that is no file, has this name; the folder to write to does not exist or is full.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, ["CD74", "NKG7"])
    >>> dko.io.write_embedding(adata, "cells.html", groupby="cell_type")
    """
    from ..report import open_run, render_embedding

    check_target(path)
    run = open_run(adata, key=key, mod=mod, groupby=groupby)
    write_page(render_embedding(run, genes, basis=basis, downstream=downstream, title=title), path)
