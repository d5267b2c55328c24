"""Sums over the cells of a scan, read block by block beside the expression that was scanned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..models.base import like
from ..models.rows import profiles
from .cells import rows_of
from .fitted import gene_columns
from .reading import read_blocks

if TYPE_CHECKING:
    from .._typing import AnnData, Fitted, Mapping


@dataclass(frozen=True)
class Sums:
    """Of each gene of a model, over some of the cells of a scan: numbers and sums, float64."""

    n_scanned: np.ndarray  # cells with an impact of the gene
    impacts: dict[str, np.ndarray]  # of each kind
    squares: np.ndarray  # of the first kind
    n_expressing: np.ndarray  # cells with any impact that express the gene
    shares: np.ndarray  # of their observed profiles
    other_shares: np.ndarray  # of those of other cells that have a model
    n_seen: np.ndarray  # of all cells, those that express the gene
    n_cells: np.ndarray  # all cells

    def over(self, parts: np.ndarray) -> Sums:
        """Return the sums over some parts of the cells."""

        def added(values: np.ndarray) -> np.ndarray:
            return values[parts].sum(axis=0)

        found = {name: added(value) for name, value in vars(self).items() if name != "impacts"}
        return Sums(**found, impacts={name: added(value) for name, value in self.impacts.items()})


@dataclass
class Scan:
    """What a scan holds; parts of the cells are rows of the sums."""

    with_impacts: np.ndarray  # of each cell, whether it has any
    expressing: np.ndarray  # whether it expresses anything
    # Genes that cells without impacts express, though they have a model.
    missing: np.ndarray
    sums: Sums = field(init=False)
    differ: bool = False  # whether kinds of impacts have other entries
    impossible: bool = False  # whether there are impacts where the gene is not expressed, or no model

    @property
    def left_out(self) -> bool:
        """Whether there are cells without impacts that express a gene that was knocked out elsewhere."""
        return bool((self.missing & (self.sums.n_scanned.sum(axis=0) > 0)).any())


def read_scan(
    adata: AnnData, fitted: Fitted, places: Mapping[str, str], part_of: np.ndarray, predicted: np.ndarray
) -> Scan:
    """Add up the layers of a scan (`places`, by kind) over parts of the cells; `predicted` cells have a model."""
    columns, n_genes, n_parts = gene_columns(adata, fitted), len(fitted.genes), int(part_of.max()) + 1
    layers = {name: adata.layers[place] for name, place in places.items()}
    layers = {name: layer.tocsr() if sparse.issparse(layer) else layer for name, layer in layers.items()}
    counted, summed = ("n_scanned", "n_expressing", "n_seen"), ("squares", "shares", "other_shares", *layers)
    total = {name: np.zeros((n_parts, n_genes)) for name in (*counted, *summed)}
    of_cells = np.zeros((2, adata.n_obs), dtype=bool)
    found = Scan(of_cells[0], of_cells[1], np.zeros(n_genes, dtype=bool))
    for first, values in read_blocks(adata, fitted, "linear"):
        rows = slice(first, first + values.shape[0])
        part, share = part_of[rows], profiles(values)
        blocks = {name: rows_of(layer, rows)[:, columns] for name, layer in layers.items()}
        for block in blocks.values():
            block.sort_indices()
        main = next(iter(blocks.values()))
        there, has_model = np.diff(main.indptr) > 0, predicted[rows]
        found.with_impacts[rows], found.expressing[rows] = there, np.diff(values.indptr) > 0
        others = has_model & ~there
        found.missing[values[others].indices] = True
        for block in blocks.values():
            same = np.array_equal(main.indptr, block.indptr) and np.array_equal(main.indices, block.indices)
            found.differ |= not same
        # Ones, as an entry of 0 is an impact, too.
        knocked_out, present = (like(one, np.ones(one.nnz, dtype=bool)) for one in (main, values))
        found.impossible |= knocked_out.multiply(present).nnz < main.nnz or bool((there & ~has_model).any())
        for name, block, some in (
            ("n_scanned", knocked_out, slice(None)),
            ("n_expressing", present, there),
            ("n_seen", present, slice(None)),
            ("shares", share, there),
            ("other_shares", share, others),
            ("squares", like(main, np.square(main.data, dtype=np.float64)), slice(None)),
            *((name, block, slice(None)) for name, block in blocks.items()),
        ):
            total[name] += sums_of_parts(block[some], part[some], n_parts)
    impacts = {name: total.pop(name) for name in layers}
    n_cells = np.bincount(part_of, minlength=n_parts)
    found.sums = Sums(**total, impacts=impacts, n_cells=n_cells)
    return found


def sums_of_parts(block: sparse.csr_matrix, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Return the sum of each column over the rows of each part, parts x columns, float64."""
    n_columns = block.shape[1]
    number = np.repeat(part.astype(np.int64) * n_columns, np.diff(block.indptr)) + block.indices
    return np.bincount(number, block.data, n_parts * n_columns).reshape(n_parts, n_columns)
