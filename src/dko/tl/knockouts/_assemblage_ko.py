"""Named knockouts with the assemblage model: each cell through the map of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core import keys
from ..._core.fitted import NO_SIGNAL
from ..._core.knockouts import columns_of, engine_on, knockout_sets, open_task, progress_blocks
from ..._core.messages import listed, logger
from ..._settings import settings

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..._compat import Matrix
    from ..._core.groups import Groups
    from ..._core.knockouts import Task
    from ..._core.names import Knockouts


def knock_out(
    data: AnnData | MuData,
    genes: Knockouts,
    *,
    dose: float,
    groups: Groups,
    profiles: bool,
    key: str,
    mod: str,
    device: str,
    batch_size: int | None,
) -> tuple[list[str], np.ndarray, list[Matrix]]:
    """Return labels, impacts and, if wanted, a layer for each knockout.

    The impacts are 2 x cells x knockouts, with the downstream impacts; NaN where there is none.
    """
    if not 0 < dose <= 1:
        raise ValueError(f"dose={dose!r} must be above 0 and at most 1: the fraction of the gene that is removed.")
    task = open_task(data, key, mod, groups)
    sets = knockout_sets(genes, task.fitted.genes, task.adata)
    # Twelve bytes per entry: the profile, and its value and column in a CSR matrix.
    if profiles and (size := 12 * task.presence.nnz * len(sets)) > settings.result_budget:
        raise ValueError(
            f"The profiles of {len(sets)} knockouts would take {size / 2**30:.1f} GiB; pass profiles=False for their "
            "impacts alone, or fewer genes."
        )
    impacts, after = _knock_out(task, sets, dose, profiles, device, batch_size)
    n_cells = np.isfinite(impacts[0]).sum(axis=0)
    if not n_cells.all():
        label = list(sets)[int(n_cells.argmin())]
        where = "No cell" if groups is None else "No cell of the chosen groups"
        raise ValueError(f"{where} that has a model expresses {label!r}, so there is nothing to knock out.")
    warn_of_silence(task, sets)
    return list(sets), impacts, [task.layer(values) for values in after]


def warn_of_silence(task: Task, sets: dict[str, list[str]]) -> None:
    """Say of which genes these cells do not tell what they do."""
    if task.fitted.signal is None:
        return
    rates = dict(zip(task.fitted.genes, task.fitted.signal, strict=True))
    if silent := [
        gene for gene in dict.fromkeys(gene for genes in sets.values() for gene in genes) if rates[gene] > NO_SIGNAL
    ]:
        logger.warning(
            "There is no evidence in the cells of the fit that other genes depend on %s (FDR above 5 %%, var[%r]): "
            "what the knockout does to them may be noise.",
            listed(silent),
            keys.signal(task.fitted.key),
        )


def _knock_out(
    task: Task, sets: dict[str, list[str]], dose: float, profiles: bool, device: str, batch_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return impacts, 2 x cells x knockouts, and profiles, knockouts x entries of presence; NaN where there is none."""
    from ...models.knockout import find

    engine, wanted = engine_on(device), columns_of(sets, task.fitted.genes)
    impacts = np.full((2, task.adata.n_obs, len(sets)), np.nan, dtype=np.float32)
    after = []
    for first, block in progress_blocks(task, batch_size, "virtual_ko"):
        after.append(np.full((len(sets) if profiles else 0, block.nnz), np.nan, dtype=np.float32))
        for affine, rows, presence, entries in task.parts(block, first):
            cell, number, removed = find(presence, wanted)
            # A cell that expresses none of the genes keeps its profile.
            before = engine.predict(affine, presence) if profiles else np.empty(0)
            part = np.tile(before, (len(after[-1]), 1))
            impacts[:, first + rows[cell], number] = engine.knock_out(
                affine,
                presence,
                cell,
                removed,
                dose=dose,
                downstream=True,
                after=part if profiles else None,
                number=number,
            )
            # A gene that is gone has no entry, like a gene that was never there.
            if profiles:
                after[-1][:, entries] = np.where(part > 0, part, np.nan)
    return impacts, np.concatenate(after, axis=1)
