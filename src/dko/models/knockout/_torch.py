"""The same functions as the compiled ones, in torch, for any device; the arguments are those of their namesakes.

Cells go to the device as CSR and become dense only there: present genes side by side, cells with about as many of them
together so that little is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from ..._settings import settings
from ._on_device import Removal, on_device, widest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

    from ._map import AnyMap
    from ._on_device import FactorsOnDevice, MapOnDevice

    Model: TypeAlias = "MapOnDevice | FactorsOnDevice"
    Ask = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    """Some cells -> number of each knockout in them, index of its cell among them, ascending, and what is removed,
    knockouts x genes, as positions among the present genes of the cell; -1 pads."""

# Bytes of everything that is on the device at a time, for each present gene of each knockout.
_PER_ENTRY = 64
# Profiles sum to 1; times this they are the usual "counts per ten thousand".
_SCALE = 1e4


def predict(affine: AnyMap, presence: sparse.csr_matrix, *, device: torch.device) -> np.ndarray:
    """Return the profiles before any knockout at the present genes, in the order of ``presence.data`` (float32)."""
    profiles = np.empty(presence.nnz, dtype=np.float32)
    one_each = np.ones(presence.shape[0], dtype=np.int64)
    for cells in _cells(on_device(affine, device), presence, one_each):
        profiles[cells.entries] = cells.before[cells.present].cpu().numpy()
    return profiles


def scan(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    *,
    device: torch.device,
    wanted: np.ndarray | None = None,
    dose: float = 1.0,
    downstream: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each present gene in each cell, in the order of ``presence.data`` (float32).

    NaN stands at genes that are not `wanted`. `advance` is told now and then how many more entries are done.
    """
    found = np.full((2, presence.nnz), np.nan, dtype=np.float32)
    model, ask, n_present = on_device(affine, device), _every(presence, wanted), np.diff(presence.indptr)
    for block in _knockouts(model, presence, ask, n_present, dose):
        _fill(found, block, downstream)
        advance(len(block.number))
    if wanted is not None:
        advance(presence.nnz - int(np.count_nonzero(wanted[presence.indices])))
    return found if downstream else found[0]


def knock_out(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    row: np.ndarray,
    removed: np.ndarray,
    *,
    device: torch.device,
    dose: float = 1.0,
    downstream: bool = False,
    after: np.ndarray | None = None,
    number: np.ndarray | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each knockout of any genes together (float32).

    `row`, `removed` (-1 pads), `after` and `number` are those of the compiled function; the impact of a cell without
    genes is 0. `advance` is told now and then how many more knockouts are done.
    """
    found = np.zeros((2, len(row)), dtype=np.float32)
    n_knockouts = np.bincount(row, minlength=presence.shape[0])
    model, ask = on_device(affine, device), _given(row, removed)
    for block in _knockouts(model, presence, ask, n_knockouts, dose):
        _fill(found, block, downstream)
        if after is not None and number is not None:
            entries = _ranges(presence.indptr[block.cell], block.n_present)
            after[np.repeat(number[block.number], block.n_present), entries] = block.after[block.present].cpu().numpy()
        advance(len(block.number))
    return found if downstream else found[0]


def effect_sums(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    wanted: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    *,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum over cells of the change of log1p(1e4 * profile), and the number of cells in it.

    float64, groups x wanted genes x genes, and int, groups x wanted genes; a `group` of -1 does not count.
    """
    totals = np.zeros((n_groups, len(wanted), affine.n_genes))
    n_cells = np.zeros((n_groups, len(wanted)), dtype=np.int64)
    model, n_present = on_device(affine, device), np.where(group >= 0, np.diff(presence.indptr), 0)
    # Sums are kept on the device: of so many genes at a time that they fit there.
    step = max(1, settings.memory_budget // (8 * n_groups * affine.n_genes))
    for first in range(0, len(wanted), step):
        genes = wanted[first : first + step]
        number_of = np.full(affine.n_genes, -1)
        number_of[genes] = np.arange(len(genes))
        part = torch.zeros(n_groups * len(genes) * affine.n_genes, dtype=widest(device), device=device)
        ask = _every(presence, number_of >= 0)
        for block in _knockouts(model, presence, ask, n_present, 1.0):
            groups, knockouts = group[block.cell], number_of[presence.indices[block.number]]
            np.add.at(n_cells, (groups, first + knockouts), 1)
            start = torch.from_numpy((groups * len(genes) + knockouts) * affine.n_genes).to(device)
            place = (start[:, None] + block.genes).reshape(-1)
            part.index_add_(0, place, _change(block).to(part.dtype).reshape(-1))
        totals[:, first : first + step] = part.reshape(n_groups, len(genes), -1).cpu().numpy()
    return totals, n_cells


@dataclass(frozen=True)
class _Cells:
    """Cells before a knockout, each with its present genes side by side, and padding.

    `rows` and `entries` say where the cells and their genes are in the CSR matrix; `n_present`, one per cell, is on the
    device as well. All else is on the device: `genes`, `present` (whether there is a gene), `weights` of the outputs,
    the profile `before`, cells x most present genes; and `sums`, in the shape that the model has them.
    """

    rows: np.ndarray
    entries: np.ndarray
    n_present: np.ndarray
    sizes: torch.Tensor
    genes: torch.Tensor
    present: torch.Tensor
    weights: torch.Tensor
    sums: torch.Tensor
    before: torch.Tensor


@dataclass(frozen=True)
class _Knockouts:
    """Some knockouts: their number, cell and n_present, and on the device, knockouts x most present genes, the rest."""

    number: np.ndarray
    cell: np.ndarray
    n_present: np.ndarray
    genes: torch.Tensor
    present: torch.Tensor
    removed: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor


def _knockouts(
    model: Model,
    presence: sparse.csr_matrix,
    ask: Ask,
    n_knockouts: np.ndarray,
    dose: float,
) -> Iterator[_Knockouts]:
    """Yield blocks of knockouts; `n_knockouts` is how many each cell has at most, 0 passes over it."""
    for cells in _cells(model, presence, n_knockouts):
        number, cell, removed = ask(cells.rows)
        n_present = cells.n_present[cell]
        bytes_each = _PER_ENTRY * n_present + model.bytes_per_knockout * removed.shape[1]
        for piece in _pieces(bytes_each, settings.memory_budget):
            place = torch.from_numpy(removed[piece]).to(model.device)
            which = torch.from_numpy(cell[piece]).to(model.device)
            width = int(n_present[piece][-1])
            after = _after(model, cells, which, place, width, dose)
            genes, present, before = (of[which, :width] for of in (cells.genes, cells.present, cells.before))
            known = (number[piece], cells.rows[cell[piece]], n_present[piece])
            yield _Knockouts(*known, genes, present, place, before, after)


def _after(
    model: Model, cells: _Cells, cell: torch.Tensor, removed: torch.Tensor, width: int, dose: float
) -> torch.Tensor:
    """Return the profiles after knockouts of `cell`, each an index among the cells."""
    genes, gate = cells.genes[cell, :width], cells.weights[cell, :width]
    place, share = removed.clamp_min(0), dose * (removed >= 0).float()
    # Added, not set: what pads a set of genes shares its place with the first gene.
    gate = gate.scatter_add(1, place, -share * gate.gather(1, place))
    removal = Removal(cell, genes, cells.sizes[cell] - share.sum(1), genes.gather(1, place), share)
    return _profiles(model.outputs(cells.sums, removal), gate)


def _cells(model: Model, presence: sparse.csr_matrix, n_knockouts: np.ndarray) -> Iterator[_Cells]:
    """Yield blocks of the cells that have genes and knockouts, those with the fewest genes first."""
    device, n_present = model.device, np.diff(presence.indptr).astype(np.int64)
    chosen = np.flatnonzero((n_present > 0) & (n_knockouts > 0))
    chosen = chosen[np.argsort(n_present[chosen], kind="stable")]
    bytes_each = model.bytes_per_cell + _PER_ENTRY * (n_present + n_knockouts)[chosen]
    # Not in ascending order, because of the knockouts; the largest so far is.
    for piece in _pieces(np.maximum.accumulate(bytes_each), settings.memory_budget):
        rows = chosen[piece]
        n = n_present[rows]
        entries = _ranges(presence.indptr[rows], n)
        sizes, indices = torch.from_numpy(n).to(device), torch.from_numpy(presence.indices[entries]).to(device).long()
        present = torch.arange(int(n[-1]), device=device) < sizes[:, None]
        genes = present.new_zeros(present.shape, dtype=torch.int64).masked_scatter_(present, indices)
        weights = present.float()
        if model.observed:
            weights.masked_scatter_(present, torch.from_numpy(presence.data[entries].astype(np.float32)).to(device))
        sums = model.sums(indices, sizes.cumsum(0) - sizes, genes)
        nothing = genes[:, :0]
        everyone = torch.arange(len(n), device=device)
        outputs = model.outputs(sums, Removal(everyone, genes, sizes.float(), nothing, nothing.float()))
        before = _profiles(outputs, weights)
        yield _Cells(rows, entries, n, sizes, genes, present, weights, sums, before)


def _every(presence: sparse.csr_matrix, wanted: np.ndarray | None) -> Ask:
    """Knock out every present gene, or those that are wanted; they have the numbers of the entries."""

    def ask(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = presence.indptr[rows].astype(np.int64)
        n_present = presence.indptr[rows + 1] - first
        number, cell = _ranges(first, n_present), np.repeat(np.arange(len(rows)), n_present)
        if wanted is not None:
            kept = wanted[presence.indices[number]]
            number, cell = number[kept], cell[kept]
        return number, cell, (number - first[cell])[:, None]

    return ask


def _given(row: np.ndarray, removed: np.ndarray) -> Ask:
    """Knock out what is given for each cell."""

    def ask(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = np.searchsorted(row, rows, side="left")
        n_knockouts = np.searchsorted(row, rows, side="right") - first
        number = _ranges(first, n_knockouts)
        return number, np.repeat(np.arange(len(rows)), n_knockouts), removed[number].astype(np.int64, copy=False)

    return ask


def _ranges(first: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return ``first[i], first[i] + 1, ...``, `length[i]` of them, for one i after another."""
    return np.repeat(first - (np.cumsum(length) - length), length) + np.arange(length.sum())


def _pieces(each: np.ndarray, room: int) -> Iterator[slice]:
    """Cut what needs `each` bytes, ascending, into pieces that fit if all of a piece need as many as its last."""
    start = 0
    while start < len(each):
        some = each[start : start + room // each[start] + 1]
        length = np.searchsorted(some * np.arange(1, len(some) + 1), room, side="right")
        yield slice(start, start + max(1, int(length)))
        start += max(1, int(length))


def _profiles(outputs: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """Return the profiles of outputs; 0 where the gate is, and where all outputs are."""
    # Where nothing is left of a cell, outputs are divided by 0.
    output = outputs.mul_(gate).masked_fill_(gate == 0, 0)
    total = output.sum(1, keepdim=True)
    return output.div_(total.where(total > 0, 1))


def _fill(found: np.ndarray, block: _Knockouts, downstream: bool) -> None:
    """Write the impacts of some knockouts and, if they are wanted, the downstream impacts."""
    found[0, block.number] = _bray_curtis(block.after, block.before)
    if downstream:
        # Added, not set: what pads a set of genes shares its place with the first gene.
        gone = torch.zeros_like(block.before)
        gone.scatter_add_(1, block.removed.clamp_min(0), (block.removed >= 0).to(gone.dtype))
        found[1, block.number] = _bray_curtis(*(_without(profile, gone > 0) for profile in (block.after, block.before)))


def _without(profile: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
    """Return profiles without some genes, made to sum to 1 again."""
    rest = profile.masked_fill(gone, 0)
    total = rest.sum(1, keepdim=True)
    return rest / total.where(total > 0, 1)


def _bray_curtis(after: torch.Tensor, before: torch.Tensor) -> np.ndarray:
    """Return how far the rows are apart, in [0, 1]; 0 where both are empty."""
    both = after.sum(1) + before.sum(1)
    return ((after - before).abs().sum(1) / both.where(both > 0, 1)).clamp_max(1).cpu().numpy()


def _change(block: _Knockouts) -> torch.Tensor:
    """Return the change of log1p(1e4 * profile), both profiles without the one gene that is removed."""
    before = block.before.scatter(1, block.removed, 0)
    total = before.sum(1, keepdim=True)
    return (_SCALE * block.after).log1p() - (_SCALE * before / total.where(total > 0, 1)).log1p()
