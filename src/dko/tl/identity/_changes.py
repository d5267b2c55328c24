"""What knockouts change in each cell, along the principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._core.knockouts import columns_of, engine_on, progress_blocks
from ..._core.messages import progress_of
from ..._settings import settings
from ...metrics import log_profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._core.knockouts import Part, Perturber, Task

    Changes = Iterator[tuple[int, np.ndarray, np.ndarray]]
    """Number of a knockout, rows of cells, and their shifts along the components."""


def assemblage_changes(
    task: Task,
    sets: dict[str, list[str]],
    components: np.ndarray,
    *,
    dose: float,
    device: str,
    batch_size: int | None,
) -> Changes:
    """Yield the changes of log1p(1e4 * profile), without the knocked-out genes, of the cells that express any."""
    from ...models.knockout import find

    engine, wanted = engine_on(device), columns_of(sets, task.fitted.genes)
    # The profiles after all knockouts of a block have to fit.
    n_rows = max(1, settings.memory_budget // (12 * len(task.fitted.genes) * len(sets)))
    for first, block in progress_blocks(task, n_rows if batch_size is None else batch_size, "identity_shift"):
        for part in task.parts(block, first):
            row, number, removed = find(part.presence, wanted)
            before = engine.predict(part.affine, part.presence)
            after = np.tile(before, (len(sets), 1))
            engine.knock_out(part.affine, part.presence, row, removed, dose=dose, after=after, number=number)
            for one in np.unique(number):
                cells, without = row[number == one], wanted[one][wanted[one] >= 0]
                logs = [_logs(part, values, cells, without) for values in (after[one], before)]
                yield one, first + part.rows[cells], (logs[0] - logs[1]) @ components


def _logs(part: Part, values: np.ndarray, cells: np.ndarray, without: np.ndarray) -> sparse.csr_array:
    """Return log profiles of some cells without the genes that are knocked out."""
    profiles = sparse.csr_matrix((values, part.presence.indices, part.presence.indptr), shape=part.presence.shape)
    return log_profiles(profiles[cells], without=without)


def perturbed_changes(
    perturber: Perturber,
    sets: dict[str, list[str]],
    components: np.ndarray,
    *,
    dose: float,
    batch_size: int | None,
    seed: int,
) -> Changes:
    """Yield the predicted changes of log-normalised expression, without the targets, of the control cells."""
    with progress_of(len(sets) * len(perturber.rows), description="identity_shift", unit="cell") as advance:
        for number, members in enumerate(sets.values()):
            others = components * ~np.isin(perturber.fitted.genes, members)[:, None]
            for rows, before, after in perturber.pairs(members, dose, rng=seed, n_rows=batch_size):
                yield number, rows, (after - before) @ others
                advance(len(rows))
