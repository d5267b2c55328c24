"""One page with all results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.verb import verb
from ._files import write_page
from ._target import check_target

if TYPE_CHECKING:
    from .._typing import AnnData, MuData, Path


@verb
def write_report(
    adata: AnnData | MuData,
    path: str | Path,
    *,
    groupby: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    title: str | None = None,
    n_genes: int = 20,
) -> None:
    """Write all results under a key as one HTML page: quality, warnings, tables and pictures.

    The page loads nothing, so that it can be sent by mail. Each result has a section if it is there; otherwise the page
    names the call that makes it. Nothing is computed but the quality of the fit and the means that pictures show.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`, of either model, and whatever else has been run.
    path
        File to write, usually ``.html``. An older file is replaced once the new one is complete.
    groupby
        ``obs`` column of cell types; by default that of :func:`dko.tl.rank_genes`, or of the fit, if any.
    %(results)s
    title
        Of the page.
    n_genes
        Rows of tables per group or knockout: the first in the order of the result.

    Returns
    -------
    None. Writes the page.

    Raises
    ------
    KeyError, ValueError
        No fit, or no such column; `n_genes` below 1.
    OSError
        A folder, or anything else that is no file, has this name; the folder to write to does not exist or is full.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.io.write_report(adata, "report.html", title="Keystone genes of blood cells")
    """
    from ..report import open_run, render

    check_target(path)
    run = open_run(adata, key=key, mod=mod, groupby=groupby, n_rows=n_genes)
    write_page(render(run, title or "Virtual knockouts"), path)
