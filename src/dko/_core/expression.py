"""Expression of all cells, on which scale it is and which genes there are, read block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..models.base import like
from .evidence import are_counts
from .messages import logger, progress_of, say
from .scale import DOUBTFUL, Scale, scale_of, take_log

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import Iterator, Sequence
    from .cells import Source

    Blocks = Iterator[tuple[int, sparse.csr_matrix]]

# Expression that varies is compared among genes of about the same mean: so many classes, as in scanpy and Seurat.
_BINS = 20
_LEAST = 1e-12


@dataclass(frozen=True)
class Expression:
    """What one pass over the cells has found, and what reads them again.

    Attributes
    ----------
    genes
        Names of the columns, all of them in ``var_names``.
    scale
        What the source holds.
    sizes, totals
        Number of genes that each cell expresses, and the sum of its values as they are (cells,).
    n_cells, n_seen
        Cells that express each gene (genes,), of all and of those that may be `seen`.
    seen
        The cells that a choice of genes may look at, as a mask.
    """

    source: Source
    genes: list[str]
    scale: Scale
    sizes: np.ndarray
    totals: np.ndarray
    n_cells: np.ndarray
    n_seen: np.ndarray
    seen: np.ndarray
    # All cells, where they are a single block: not read again.
    _whole: sparse.csr_matrix | None

    def _blocks(self, description: str) -> Blocks:
        if self._whole is not None:
            return iter([(0, like(self._whole, self._whole.data.copy()))])
        return _with_progress(self.source, self.genes, description)

    def linear(self, description: str = "read") -> Blocks:
        """Yield values that are not logarithms, with the row of the first cell of each block."""
        for first, block in self._blocks(description):
            self.scale.to_linear(block)
            yield first, block

    def logged(self, target_sum: float, description: str = "read") -> Blocks:
        """Yield log1p values; counts are divided by the totals of cells over `target_sum` first."""
        for first, block in self._blocks(description):
            take_log(block, self.scale.kind, self.totals[first : first + block.shape[0]], target_sum)
            yield first, block

    def dispersions(self) -> np.ndarray:
        """Return how variable each gene is among those of about the same mean, NaN where it does not vary.

        Of the ``seen`` cells, normalised to 10,000: ``flavor="seurat"`` of :func:`scanpy.pp.highly_variable_genes`,
        from sums over cells, as its cells may not fit into memory.
        """
        import pandas as pd

        sums, squares, n = np.zeros(len(self.genes)), np.zeros(len(self.genes)), self.seen.sum()
        for first, block in self.linear("variability of genes"):
            some = block[self.seen[first : first + block.shape[0]]]
            totals = np.asarray(some.sum(axis=1, dtype=np.float64)).ravel()
            values = 1e4 * some.data / np.repeat(totals, np.diff(some.indptr))
            sums += np.bincount(some.indices, values, len(sums))
            squares += np.bincount(some.indices, values**2, len(sums))
        mean = np.maximum(sums / n, _LEAST)
        variance = np.maximum(squares / n - mean**2, 0) * (n / max(n - 1, 1))
        with np.errstate(divide="ignore"):
            dispersion = pd.Series(np.log(variance / mean)).replace(-np.inf, np.nan)
        of_bins = dispersion.groupby(pd.cut(np.log1p(mean), _BINS), observed=True)
        average, deviation = of_bins.transform("mean"), of_bins.transform("std")
        # A gene that is alone with its mean counts as one standard deviation above it.
        return ((dispersion - average) / deviation).where(deviation.notna(), dispersion / dispersion).to_numpy()


def read_expression(
    source: Source, log1p: bool | None, *, linear: bool = True, seen: np.ndarray | None = None
) -> Expression:
    """Read expression once and say what the values were taken for; `linear` says whether logarithms are turned back."""
    genes, n_obs = source.genes, source.adata.n_obs
    if source.use_raw and len(genes) < len(source.names):
        say(f"Of the {len(source.names)} genes of raw, {len(genes)} are in var_names and can be taken.")
    seen = np.ones(n_obs, dtype=bool) if seen is None else seen
    sizes, totals = np.zeros(n_obs, dtype=np.int64), np.zeros(n_obs, dtype=np.float32)
    n_cells, n_seen = np.zeros((2, len(genes)), dtype=np.int64)
    counts, largest, whole = True, 0.0, None
    for first, block in _with_progress(source, genes, "read"):
        there = slice(first, first + block.shape[0])
        sizes[there], totals[there] = np.diff(block.indptr), np.asarray(block.sum(axis=1)).ravel()
        n_cells += np.bincount(block.indices, minlength=len(genes))
        n_seen += np.bincount(block.indices[np.repeat(seen[there], sizes[there])], minlength=len(genes))
        counts, largest = counts and are_counts(block), max(largest, float(block.data.max(initial=0.0)))
        whole = block if block.shape[0] == n_obs else None
    scale = scale_of(source, log1p, counts=counts, largest=largest)
    _say_scale(source, scale, linear=linear)
    return Expression(source, genes, scale, sizes, totals, n_cells, n_seen, seen, whole)


def _with_progress(source: Source, genes: Sequence[str], description: str) -> Blocks:
    with progress_of(source.adata.n_obs, description=description, unit="cell") as advance:
        for first, block in source.blocks(genes):
            yield first, block
            advance(block.shape[0])


def _say_scale(source: Source, scale: Scale, *, linear: bool) -> None:
    doubtful = scale.trust == DOUBTFUL
    counts = source.elsewhere().get("counts") if doubtful or (linear and scale.kind != "counts") else None
    better = f" {counts} holds counts: {counts.keyword} uses them." if counts else ""
    message = f"Values of {source}: taken as {(_LINEAR if linear else _LOGGED)[scale.kind]}"
    if doubtful:
        remedy = "Pass log1p=True if they are logarithms, log1p=False if not."
        logger.warning("%s, which is not certain: %s. %s%s", message, scale.reason, remedy, better)
    else:
        say(f"{message}{'' if scale.kind == 'counts' else f': {scale.reason}'}.{better}")


_LINEAR = {"counts": "counts", "linear": "normalised values, not logarithms", "log1p": "log1p and turned back"}
_LOGGED = {"counts": "counts", "linear": "normalised values and logged", "log1p": "log-normalised"}
