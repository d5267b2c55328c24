"""Bytes that a fit and what follows it take, in memory at most and on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..._settings import settings
from ...models.dko.config import MANY
from ...models.dko.evidence import draws_of
from ._work import FIT, KO, RANK, SCAN, SCAN_OUT

if TYPE_CHECKING:
    from ._work import Size

# Of an entry of a CSR matrix, and of the end of a row.
_ENTRY, _ROW = 8, 8
# Both impacts.
_KINDS = 2
# Numbers of single precision for each pair of genes that a fit holds at a time, and a scan.
_IN_FIT, _IN_SCAN = 4, 2
# Memory budgets that blocks of cells take, with what is made of them, and the bytes of an entry of these.
_BLOCKS, _MADE = {FIT: 2, RANK: 2}, 64
_SINGLE, _HALF = 4, 2
_FACTORS = 128


def on_disk(step: str, size: Size, n_groups: int) -> int:
    """Return the bytes of the result of a step in an h5ad file."""
    if step == FIT:
        return n_groups * _model(size.n_genes)
    if step in (SCAN, SCAN_OUT):
        return round(_KINDS * (_ENTRY * size.n_knockouts + _ROW * size.n_cells))
    if step == KO:
        return round(size.n_cells * (size.common * _ENTRY * size.present + _ROW))
    return 0


def _model(n_genes: int) -> int:
    """Bytes of the arrays of a model with total effects: effects, correlations, the null, and the network."""
    pairs = n_genes**2
    of_draws = draws_of(n_genes) * (_HALF * n_genes + _ROW)
    if n_genes > MANY:
        return 2 * _HALF * pairs + of_draws + 2 * _SINGLE * n_genes * _FACTORS
    return (_SINGLE + _HALF + _SINGLE) * pairs + of_draws


def peak(step: str, size: Size, n_groups: int) -> int:
    """Return the highest memory of the process that makes a step, with what is in memory now."""
    entries = size.n_cells * (size.read if step in _BLOCKS else size.present)
    blocks = min(_BLOCKS.get(step, 1) * settings.memory_budget, _MADE * entries)
    made = on_disk(step, size, n_groups) if step in (SCAN, KO) else 0
    model = 0 if step == FIT else on_disk(FIT, size, n_groups)
    maps = _SINGLE * size.n_genes**2 * (_IN_FIT if step == FIT else _IN_SCAN)
    # Of several groups, the models before this one.
    before = on_disk(FIT, size, n_groups - 1) if step == FIT else 0
    return round(now() + maps + model + before + blocks + made)


def now() -> int:
    """Return the memory that this process has in use, as far as the system tells; else what it had at most."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
