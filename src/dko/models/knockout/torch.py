"""The same functions as the compiled ones, in torch, for any device; each knockout is a row of all genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import sparse

from .._transfer import dense, in_blocks, room_on
from ..base import like
from .maps import BOUND, all_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from .maps import AnyMap, Cells

# Bytes of everything that is on the device at a time, for each gene of each knockout.
_PER_GENE = 48


class Block(NamedTuple):
    """Some knockouts on the device: which, and profiles before and after, knockouts x genes; what is lost is a mask."""

    which: slice
    before: torch.Tensor
    after: torch.Tensor
    lost: torch.Tensor


def scan(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    *,
    device: torch.device,
    wanted: np.ndarray | None = None,
    downstream: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impacts of each present gene in each cell, as :func:`dko.models.knockout.scan`."""
    found = np.full((1 + downstream, presence.nnz), np.nan, dtype=np.float32)
    entries = np.arange(presence.nnz) if wanted is None else np.flatnonzero(wanted[presence.indices])
    row = np.searchsorted(presence.indptr, entries, side="right") - 1
    cells, removed = all_cells(affine, presence), (entries - presence.indptr[row])[:, None]

    def use(block: Block) -> None:
        found[:, entries[block.which]] = _impacts(block)[: len(found)]
        advance(len(block.before))

    _knock_out(use, affine, cells, row, removed, 1.0, device)
    return found


def knock_out(
    affine: AnyMap,
    cells: Cells,
    row: np.ndarray,
    removed: np.ndarray,
    *,
    device: torch.device,
    dose: float = 1.0,
    after: np.ndarray | None = None,
    number: np.ndarray | None = None,
) -> np.ndarray:
    """Return both impacts of each knockout of any genes together, as :func:`dko.models.knockout.knock_out`."""
    found = np.zeros((2, len(row)), dtype=np.float32)

    def use(block: Block) -> None:
        found[:, block.which] = _impacts(block)
        if after is None or number is None:
            return
        for cell, place, profile in zip(row[block.which], number[block.which], block.after.cpu().numpy(), strict=True):
            entries = slice(*cells.indptr[cell : cell + 2])
            after[place, entries] = profile[cells.indices[entries]]

    _knock_out(use, affine, cells, row, removed, dose, device)
    return found


def effect_sums(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    wanted: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    *,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`dko.models.knockout.sets.effect_sums` does."""
    number_of = np.full(affine.n_genes, -1)
    number_of[wanted] = np.arange(len(wanted))
    row, number = np.repeat(np.arange(presence.shape[0]), np.diff(presence.indptr)), number_of[presence.indices]
    entries = np.flatnonzero((number >= 0) & (group[row] >= 0))
    row, place = row[entries], (group[row] * len(wanted) + number)[entries]
    cells, removed = all_cells(affine, presence), (entries - presence.indptr[row])[:, None]
    # Sums are float64 where the device has it; Apple's have not.
    widest = torch.float32 if device.type == "mps" else torch.float64
    totals = torch.zeros(n_groups * len(wanted), affine.n_genes, dtype=widest, device=device)

    def use(block: Block) -> None:
        before, after = (_others(profile, block.lost) for profile in (block.before, block.after))
        change = (1e4 * after).log1p() - (1e4 * before).log1p()
        totals.index_add_(0, torch.from_numpy(place[block.which]).to(device), change.to(widest))

    _knock_out(use, affine, cells, row, removed, 1.0, device)
    n_cells = np.bincount(place, minlength=n_groups * len(wanted)).reshape(n_groups, -1)
    return totals.reshape(n_groups, len(wanted), -1).double().cpu().numpy(), n_cells


def _knock_out(
    use: Callable[[Block], object],
    affine: AnyMap,
    cells: Cells,
    row: np.ndarray,
    removed: np.ndarray,
    dose: float,
    device: torch.device,
) -> None:
    """Use knockouts of `removed` positions, each in the cell of its row, ascending; as many at a time as there is room.

    A block may be used twice, if memory ends on the way.
    """
    n_genes, there = affine.n_genes, removed >= 0
    genes = np.full(removed.shape, -1)
    genes[there] = cells.indices[(cells.indptr[row][:, None] + removed)[there]]
    profiles = sparse.csr_matrix((cells.profile, cells.indices, cells.indptr), (len(cells.indptr) - 1, n_genes))
    ones = like(profiles, np.ones_like(cells.profile))
    sums = profiles if cells.observed else like(profiles, cells.sums)
    whole = _columns(affine, np.arange(n_genes), device) if 4 * n_genes**2 <= room_on(device) else None

    def work(which: slice) -> None:
        used, cell = np.unique(row[which], return_inverse=True)
        before, change = _dense(profiles[used], cell, device), torch.zeros(len(cell), n_genes, device=device)
        # What pads is lost in a column beside all genes.
        places = torch.from_numpy(np.where(there[which], genes[which], n_genes)).to(device)
        lost = torch.zeros(len(cell), n_genes + 1, dtype=torch.bool, device=device).scatter_(1, places, True)[:, :-1]
        weights = torch.from_numpy((dose * affine.weights(genes[which])).astype(np.float32)).to(device)
        for one, weight in zip(np.maximum(genes[which], 0).T, weights.T, strict=True):
            some, place = np.unique(one, return_inverse=True)
            columns = _columns(affine, some, device) if whole is None else whole[torch.from_numpy(some).to(device)]
            change.addcmul_(columns[torch.from_numpy(place).to(device)], weight[:, None])
        if cells.observed:
            after = before * change.clamp_(-BOUND * dose, BOUND * dose).masked_fill_(lost, 0).neg_().exp_()
        else:
            present = _dense(ones[used], cell, device)
            size = present.sum(1, keepdim=True) - dose * lost.sum(1, keepdim=True)
            intercept = torch.from_numpy(cells.intercept).to(device)
            after = ((_dense(sums[used], cell, device) - change) / size.clamp_min(1.2e-7) + intercept).abs_() * present
        after = torch.where(lost, (1 - dose) * after, after)
        use(Block(which, before, after / _total(after), lost))

    in_blocks(work, len(row), max(1, room_on(device) // (_PER_GENE * n_genes)))


def _columns(affine: AnyMap, genes: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(affine.columns(genes))).to(device)


def _dense(some: sparse.csr_matrix, cell: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return rows of cells on the device, one per knockout."""
    return dense(some.astype(np.float32), device)[torch.from_numpy(cell).to(device)]


def _total(profile: torch.Tensor) -> torch.Tensor:
    """Return the sum of each row, 1 where it is empty."""
    total = profile.sum(1, keepdim=True)
    return total.where(total > 0, 1)


def _others(profile: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """Return profiles without what is lost, made to sum to 1 again."""
    rest = profile.masked_fill(lost, 0)
    return rest / _total(rest)


def _impacts(block: Block) -> np.ndarray:
    """Return impacts and downstream impacts, a row each: Bray-Curtis dissimilarities."""
    found = []
    others = [_others(profile, block.lost) for profile in (block.after, block.before)]
    for after, before in ((block.after, block.before), others):
        both = after.sum(1) + before.sum(1)
        found.append(((after - before).abs().sum(1) / both.where(both > 0, 1)).clamp_max(1).cpu().numpy())
    return np.stack(found)
