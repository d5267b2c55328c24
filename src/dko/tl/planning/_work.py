"""How much there is to do in a fit and after it: what grows with cells, with genes, and with neither."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from ..._core.cluster import FEWEST_THREADS, PARTS
from ...models.dko.evidence import PART, draws_of
from ...models.dko.fit import MOST_PERMUTED, MOST_VALIDATING
from ...models.dko.model import DkoModel
from ...models.dko.regression import least_cells

if TYPE_CHECKING:
    from ...models.fitting import Schedule

FIT, SCAN, SCAN_OUT, RANK, KO = "fit", "scan", "scan to a file", "rank_genes", "virtual_ko of one gene"
# Share of the cells that validates, by default.
_VALIDATION = 0.2
# Work of a row that is validated, over that of one that trains: forward, and not backward.
_FORWARD = 1 / 3
# Steps until the loss no longer falls grow with this power of the number of cells: 400 for 2,000 cells of PBMC 3k, 500
# for 2,700, and 3,000 for 27,000.
_GROWTH = 0.75
# What workers of a cluster share, by step; a fit reads its cells itself.
BY_WORKERS = dict.fromkeys((SCAN, SCAN_OUT, KO), ("read", "dense", "entries", "pairs")) | {
    FIT: ("dense", "entries", "pairs", "permuted")
}


class Size(NamedTuple):
    """Cells that have a model, and the genes of the fit.

    Attributes
    ----------
    n_cells, n_genes
        Their numbers.
    read
        Genes that a cell expresses, of all in the file: what is read.
    present
        Genes of the fit that a cell expresses: its knockouts.
    square
        Mean square of these numbers: pairs of present genes in a cell.
    common
        Share of the cells that express the gene that most of them express.
    """

    n_cells: float
    n_genes: int
    read: float
    present: float
    square: float
    common: float

    @property
    def n_knockouts(self) -> int:
        """Number of pairs of a cell and a gene that it expresses."""
        return round(self.n_cells * self.present)


def of_cells(size: Size) -> Counter[str]:
    """Return the work of what goes once over the cells with a map of genes to genes."""
    n_cells, n_genes, read, present, square, _ = size
    shared = {"read": n_cells * read, "entries": n_cells * present, "pairs": n_cells * square}
    return Counter({"start": 1, "maps": n_genes**2, **shared})


def of_fit(size: Size, n_steps: float) -> Counter[str]:
    """Return the work of a fit whose network trains for some steps."""
    n_cells, n_genes = size.n_cells, size.n_genes
    draws, permuted = draws_of(n_genes), min(n_cells, MOST_PERMUTED)
    return of_cells(size) + Counter({
        "dense": n_cells * n_genes,
        # The regression on all genes is solved for cells where these are fewer.
        "solving": n_genes**2 * min(n_cells, n_genes),
        "steps": n_genes * n_steps * (1 + _validated(n_cells)),
        "permuted": draws * permuted,
    })  # fmt: skip


def shared(step: str, size: Size, workers: int) -> dict[str, int]:
    """Return among how many workers each kind of work of a step is divided."""
    least = 2 * least_cells(size.n_genes, size.present)
    if step == FIT and (workers < FEWEST_THREADS or size.n_cells < least):
        return {}  # too little work for what has to be sent
    found = dict.fromkeys(BY_WORKERS.get(step, ()), workers)
    if step == FIT:
        found = {kind: min(workers, PARTS) for kind in found}
        found["permuted"] = min(workers, -(-draws_of(size.n_genes) // PART))
    return found


def steps_at_most(n_cells: float) -> int:
    """Return how many steps a default fit takes at most."""
    return _schedule().n_steps(_training(n_cells))


def steps_of(n_cells: float, n_steps: float, of_cells: float) -> float:
    """Return the steps of a default fit, of which so many were enough for other cells."""
    return min(n_steps * (n_cells / of_cells) ** _GROWTH, steps_at_most(n_cells))


def _schedule() -> Schedule:
    return DkoModel.presets[None][1]


def _training(n_cells: float) -> int:
    return max(1, ceil((1 - _VALIDATION) * n_cells))


def _validated(n_cells: float) -> float:
    """Return the work of validation, over that of training."""
    n_validating = min(_VALIDATION * n_cells, MOST_VALIDATING)
    return _FORWARD * n_validating / (_schedule().batch_size * _schedule().steps_to_validation(_training(n_cells)))
