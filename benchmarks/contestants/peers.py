"""A model of 500 cells and its knockouts: dko, and two tools that also need nothing but unperturbed cells.

Both run with the defaults of their papers and knock out one gene. dko is imported where it is used: the others run in
environments without it.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .._measure import measure

if TYPE_CHECKING:
    from anndata import AnnData

_GENE = "TF1"


def ours(inputs: str) -> dict[str, float]:
    """Fit, and knock out every gene in every cell that expresses it."""
    import dko

    from ..inputs import read

    cells = read(inputs, "peers")
    few = cells[:20].copy()

    def work(cells: AnnData, max_steps: int | None = None) -> None:
        dko.tl.fit(cells, max_steps=max_steps, progress=False)
        dko.tl.scan(cells)

    figures = measure(lambda: work(cells), lambda: work(few, max_steps=2))
    return {**figures, "work": cells.layers["dko_impact"].nnz}


def sctenifold(inputs: str) -> dict[str, float]:
    """Ten networks by principal component regression, tensor decomposition, one gene removed, manifold alignment."""
    cells = import_module("anndata").read_h5ad(Path(inputs) / "peers.h5ad")
    tool = import_module("scTenifold")
    return {**measure(lambda: tool.scTenifoldKnk(cells, ko_genes=[_GENE]).build()), "work": 1}


def genki(inputs: str) -> dict[str, float]:
    """Network by principal component regression, variational graph autoencoder, one gene removed, 100 bootstraps."""
    cells = import_module("anndata").read_h5ad(Path(inputs) / "peers.h5ad")
    tool = import_module("GenKI").GenKI

    def work() -> None:
        # An empty folder, as it keeps the network that it finds for the next time.
        with tempfile.TemporaryDirectory() as folder:
            tool.from_adata(cells, [_GENE], preprocess=True, log_normalize=True, grn_dir=folder).run(seed=0)

    return {**measure(work), "work": 1}
