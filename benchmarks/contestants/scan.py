"""Every knockout of every cell: by dko, and by running the network for each of them."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import dko

from .._measure import measure
from ..inputs import read
from ..kernel import seconds_in_loops, single_knockouts
from ..network import Network, assemblages, bray_curtis

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

_SOME = 20
"""Cells of the call that compiles."""


def whole(inputs: str, cells: str, n_sample: int = 0) -> dict[str, Any]:
    """Make all single knockouts by ``dko.tl.scan``; return the impacts of the first `n_sample` of the sample."""
    adata = read(inputs, cells)
    figures = measure(lambda: dko.tl.scan(adata), lambda: dko.tl.scan(adata[:_SOME].copy()))
    layer = adata.layers["dko_impact"]
    kinds = [adata.layers[name] for name in ("dko_impact", "dko_downstream")]
    result = sum(part.nbytes for kind in kinds for part in (kind.data, kind.indices, kind.indptr)) / 1e6
    rows, genes = _sample(adata, n_sample)
    impacts = np.asarray(layer[rows, genes]).ravel().tolist() if n_sample else []
    return {
        **figures,
        "work": layer.nnz,
        "result": result,
        "extra beyond result": figures["extra"] - result,
        "impacts": impacts,
    }


def kernel(inputs: str, cells: str) -> dict[str, float]:
    """Make all single knockouts by the kernel alone; a gene update is one present gene after one knockout."""
    adata = read(inputs, cells)
    call = single_knockouts(adata)
    figures = measure(call, single_knockouts(adata[:_SOME].copy()))
    n_present = np.diff(adata.X.indptr).astype(float)
    updates = float((n_present**2).sum()) / 1e9
    return {
        **figures,
        "work": n_present.sum(),
        "present genes": n_present.mean(),
        "G updates": updates,
        "G updates per s": updates / figures["wall"],
        "G updates per CPU-s": updates / figures["cpu"],
        "G updates per s in loops": updates / min(seconds_in_loops(call) for _ in range(3)),
        "G updates per s, both": updates / measure(partial(call, downstream=True), lambda: None)["cpu"],
    }


def on_cluster(inputs: str, cells: str, n_workers: int) -> dict[str, float]:
    """Make all single knockouts from a file to a file, by workers of one thread each; the cluster is there before."""
    import anndata as ad
    from distributed import Client, LocalCluster

    adata = read(inputs, cells)
    few = adata[:_SOME].copy()
    backed = ad.read_h5ad(Path(inputs) / f"{cells}.h5ad", backed="r")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        # Each worker gets its share of this.
        figures = measure(
            lambda: dko.tl.scan(backed, out=f"{folder}/impacts.zarr"), lambda: dko.tl.scan(few, batch_size=1)
        )
    return {**figures, "work": adata.X.nnz}


def formula(inputs: str, cells: str, n_sample: int) -> dict[str, Any]:
    """Make some knockouts of a default fit by the formula as it stands, in double precision."""
    adata = read(inputs, cells)
    rows, genes = _sample(adata, n_sample)
    influence = adata.uns["dko"]["weights"]["total_influence"][0].astype(float)
    made: list[float] = []

    def impacts() -> None:
        for row, gene in zip(rows.tolist(), genes.tolist(), strict=True):
            before = adata.X[row].toarray()[0].astype(float)
            before /= before.sum()
            after = before * np.exp(-influence[:, gene])
            after[gene] = 0
            made.append(0.5 * np.abs(after / (after.sum() or 1) - before).sum())

    return {**measure(impacts, lambda: None), "work": len(rows), "impacts": made}


def dense_batches(inputs: str, cells: str, n_sample: int, batch_size: int) -> dict[str, Any]:
    """Run the network on dense batches of cells that each lack one gene."""

    def impacts(network: Network, presence: torch.Tensor, cell: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        before = network(presence)
        parts = []
        for start in range(0, len(cell), batch_size):
            rows = cell[start : start + batch_size]
            without = presence[rows]
            without[torch.arange(len(rows)), gene[start : start + batch_size]] = 0
            parts.append(bray_curtis(network(without), before[rows]))
        return torch.cat(parts)

    return _by_network(inputs, cells, n_sample, impacts)


def one_at_a_time(inputs: str, cells: str, n_sample: int) -> dict[str, Any]:
    """Run the network once for each gene of each cell, as the reference does."""

    def impacts(network: Network, presence: torch.Tensor, cell: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        before = [network(row) for row in presence]
        parts = []
        for row, column in zip(cell.tolist(), gene.tolist(), strict=True):
            without = presence[row].clone()
            without[column] = 0
            parts.append(bray_curtis(network(without), before[row]))
        return torch.stack(parts)

    return _by_network(inputs, cells, n_sample, impacts)


def _by_network(inputs: str, cells: str, n_sample: int, impacts: Callable[..., torch.Tensor]) -> dict[str, Any]:
    adata = read(inputs, cells)
    rows, genes = _sample(adata, n_sample)
    numbers, cell = np.unique(rows, return_inverse=True)
    work = assemblages(adata[numbers]), torch.from_numpy(cell), torch.from_numpy(genes)
    network = Network.of(adata)
    made: list[torch.Tensor] = []
    with torch.inference_mode():
        figures = measure(
            lambda: made.append(impacts(network, *work)), lambda: impacts(network, work[0], work[1][:50], work[2][:50])
        )
    return {**figures, "work": len(rows), "impacts": made[0].tolist()}


def _sample(adata: AnnData, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cells and genes of `n` knockouts, all those of one random cell after the other, as a scan would go on."""
    order = np.random.default_rng(0).permutation(adata.n_obs)
    presence = adata.X[order[: np.searchsorted(np.cumsum(np.diff(adata.X.indptr)[order]), n) + 1]]
    rows = np.repeat(order[: presence.shape[0]], np.diff(presence.indptr))
    return rows[:n], presence.indices[:n].astype(np.int64)
