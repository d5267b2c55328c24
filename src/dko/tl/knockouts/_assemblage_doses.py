"""Doses of a knockout with the assemblage model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._core.knockouts import columns_of, engine_on, progress_blocks
from ..._core.messages import listed
from ..._settings import settings
from ...metrics import log_profiles
from ._dose_curves import Curve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._core.knockouts import Part, Task
    from ...models.knockout import Engine


def assemblage_doses(
    task: Task, sets: dict[str, list[str]], doses: np.ndarray, *, mixture: bool, rng: np.random.Generator, device: str
) -> dict[str, Curve]:
    """Return the curve of each knockout over the cells that express any of its genes."""
    engine, wanted = engine_on(device), columns_of(sets, task.fitted.genes)
    level = rng.random((task.adata.n_obs, 1))
    impacts: list[list[np.ndarray]] = [[] for _ in sets]
    totals = np.zeros((len(sets), len(doses), len(task.fitted.genes)))
    # The profiles after all knockouts of a block have to fit.
    n_rows = max(1, settings.memory_budget // (12 * len(task.fitted.genes) * len(sets)))
    for first, block in progress_blocks(task, n_rows, "dose_response"):
        for part in task.parts(block, first):
            steps = [(1.0, level[first + part.rows] < doses)] if mixture else _graded(doses, len(part.rows))
            for number, impact, total in _of_part(engine, part, wanted, steps, len(doses)):
                impacts[number].append(impact)
                totals[number] += total
    if none := [label for label, found in zip(sets, impacts, strict=True) if not found]:
        raise ValueError(f"No chosen cell that has a model expresses {listed(none)}, so there is nothing to knock out.")
    curves = {}
    for number, label in enumerate(sets):
        impact, downstream = np.concatenate(impacts[number], axis=1)
        totals[number][:, wanted[number][wanted[number] >= 0]] = np.nan
        curves[label] = Curve(impact, downstream, totals[number] / len(impact))
    return curves


def _graded(doses: np.ndarray, n_cells: int) -> list[tuple[float, np.ndarray]]:
    """Return each dose above 0, and which cells (all) have it in which column of the results."""
    columns = np.eye(len(doses), dtype=bool)
    return [(dose, np.tile(columns[number], (n_cells, 1))) for number, dose in enumerate(doses) if dose > 0]


def _of_part(
    engine: Engine, part: Part, wanted: np.ndarray, steps: list[tuple[float, np.ndarray]], n_doses: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the number of each knockout, its impacts (2 x cells x doses) and summed changes (doses x genes)."""
    from ...models.knockout import find

    row, number, removed = find(part.presence, wanted)
    before = engine.predict(part.affine, part.presence)
    impacts = np.zeros((2, len(row), n_doses), dtype=np.float32)
    changes = np.zeros((len(wanted), n_doses, part.presence.shape[1]))
    of_each = [(one, np.flatnonzero(number == one)) for one in np.unique(number)]
    for dose, cells in steps:
        after = np.tile(before, (len(wanted), 1))
        impact = engine.knock_out(
            part.affine, part.presence, row, removed, dose=dose, downstream=True, after=after, number=number
        )
        impacts += impact[:, :, None] * cells[row]
        for one, places in of_each:
            without = wanted[one][wanted[one] >= 0]
            logs = [_logs(part, values, row[places], without) for values in (after[one], before)]
            changes[one] += cells[row[places]].T.astype(float) @ (logs[0] - logs[1])
    for one, places in of_each:
        yield one, impacts[:, places], changes[one]


def _logs(part: Part, values: np.ndarray, rows: np.ndarray, without: np.ndarray) -> sparse.csr_array:
    """Return log profiles of some cells without the genes that are knocked out."""
    profiles = sparse.csr_matrix((values, part.presence.indices, part.presence.indptr), shape=part.presence.shape)
    return log_profiles(profiles[rows], without=without)
