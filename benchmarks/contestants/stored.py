"""Cells that stay on disk: what is asked of a scan of them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import dko

from .._measure import measure
from ..inputs import read_stored

if TYPE_CHECKING:
    from anndata import AnnData


def rank(inputs: str, cells: str) -> dict[str, float]:
    """Rank genes by a scan that lies in a file beside the cells."""
    adata = _scanned(inputs, cells)
    return _per_cell(adata, measure(lambda: dko.tl.rank_genes(adata, progress=False)))


def report(inputs: str, cells: str) -> dict[str, float]:
    """Write the report of a ranking."""
    adata = _scanned(inputs, cells)
    dko.tl.rank_genes(adata, groupby="cell_type", progress=False)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        return _per_cell(adata, measure(lambda: dko.io.write_report(adata, page)))


def _scanned(inputs: str, cells: str) -> AnnData:
    """Return the cells with a scan, both on disk; a scan that is there already is read."""
    from anndata.experimental import read_lazy

    adata, path = read_stored(inputs, cells), Path(inputs) / f"{cells}_impacts.zarr"
    if not path.exists():
        dko.tl.scan(adata, out=path, progress=False)
    impacts = read_lazy(path)
    adata.layers["dko_impact"], adata.layers["dko_downstream"] = impacts.X, impacts.layers["dko_downstream"]
    return adata


def _per_cell(adata: AnnData, figures: dict[str, float]) -> dict[str, float]:
    return {**figures, "work": adata.n_obs}
