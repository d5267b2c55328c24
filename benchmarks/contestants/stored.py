"""Cells that stay on disk: fits and scans of them, and what is asked of a scan."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import dko

from .._measure import measure
from ..inputs import read_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def fit(inputs: str, cells: str, in_memory: bool) -> dict[str, float]:
    """Fit all cells, from disk or from memory."""
    adata = _opened(inputs, cells, in_memory)
    figures = measure(lambda: dko.tl.fit(adata, progress=False), _warm_up(adata))
    return _per_cell(adata, {**figures, "steps": float(dko.get.history(adata)["step"].max())})


def scan(inputs: str, cells: str, in_memory: bool) -> dict[str, float]:
    """Scan all cells for both kinds of impacts: from disk to a store, or in memory."""
    adata = _opened(inputs, cells, in_memory)
    with TemporaryDirectory(dir=inputs) as folder:
        out = None if in_memory else Path(folder) / "impacts.zarr"
        return _per_cell(adata, measure(lambda: dko.tl.scan(adata, out=out, progress=False), _warm_up(adata)))


def _opened(inputs: str, cells: str, in_memory: bool) -> AnnData:
    adata = read_stored(inputs, cells)
    return adata.to_memory() if in_memory else adata


def _warm_up(adata: AnnData) -> Callable[[], object]:
    """Return the first calls of a process: imports, and loading what was compiled."""

    def work() -> None:
        some = adata[:200].to_memory()
        dko.tl.fit(some, n_top_genes=50, effects="total", max_steps=2, progress=False)
        dko.tl.scan(some, progress=False)

    return work


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
