"""Sampled double knockouts: by dko, and by running the network for each of them, as the reference does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import dko

from .._measure import measure
from ..inputs import read
from ..network import Network, assemblages, bray_curtis

if TYPE_CHECKING:
    import pandas as pd


def sampled(inputs: str, n: int, n_sample: int) -> dict[str, Any]:
    """Draw and make `n` doubles by ``dko.tl.double_ko``."""
    adata = read(inputs, "reference")
    figures = measure(
        lambda: dko.tl.double_ko(adata, n_samples=n), lambda: dko.tl.double_ko(adata.copy(), n_samples=100)
    )
    doubles = dko.get.pairs(adata)
    return {**figures, "work": len(doubles), "impacts": _sample(doubles, n_sample)["impact"].tolist()}


def one_at_a_time(inputs: str, n: int, n_sample: int) -> dict[str, Any]:
    """Run the network for some of the same doubles, one after the other."""
    adata = read(inputs, "reference")
    dko.tl.double_ko(adata, n_samples=n)
    doubles = _sample(dko.get.pairs(adata), n_sample)
    cells = torch.from_numpy(adata.obs_names.get_indexer(doubles["cell"]))
    genes = torch.from_numpy(np.stack([adata.var_names.get_indexer(doubles[gene]) for gene in ("gene_a", "gene_b")], 1))
    network, presence = Network.of(adata), assemblages(adata)
    made: list[float] = []

    def impacts() -> None:
        before = [network(row) for row in presence]
        for cell, pair in zip(cells.tolist(), genes.tolist(), strict=True):
            without = presence[cell].clone()
            without[pair] = 0
            made.append(bray_curtis(network(without), before[cell]).item())

    with torch.inference_mode():
        figures = measure(impacts, lambda: network(presence[:2]))
    return {**figures, "work": len(doubles), "impacts": made}


def _sample(doubles: pd.DataFrame, n: int) -> pd.DataFrame:
    return doubles.sample(min(n, len(doubles)), random_state=0)
