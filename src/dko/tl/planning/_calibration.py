"""How long work takes on this machine, from short fits and scans of some cells."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.optimize import nnls

from ..._core import keys
from ..._core.evidence import are_counts
from ..._core.messages import logger, progress
from ..._settings import settings
from ...get import history
from .._fit import fit
from .._rank_genes import rank_genes
from .._scan import scan
from .._virtual_ko import virtual_ko
from . import _work
from ._work import FIT, KO, RANK, SCAN, SCAN_OUT, Size

if TYPE_CHECKING:
    from collections import Counter

    from ..._typing import Callable, Iterator, Mapping, Sequence

# Cells and genes of short runs: slopes are the differences between them.
_FEW, _MANY, _MOST_GENES, _FEWEST_GENES = 500, 4_000, 2_000, 50
# Cells that train until the loss no longer falls, as only then the number of steps is known; others take a few steps.
TRAINING, _STEPS = 2_000, 10
# Of no more cells all are taken, once: the short runs would take longer. Least share of a model's cells that are then
# there, without those that express nothing.
ALL, _EXPRESSING = 10_000, 0.9


class Timed(NamedTuple):
    """Work, and the seconds that it took, on the clock and of all processors together."""

    work: Counter[str]
    wall: float
    cpu: float


class Rates(NamedTuple):
    """How long the work of a step takes.

    Attributes
    ----------
    each
        Seconds of all processors together, by kind of work.
    on_clock
        Seconds on the clock, over these.
    """

    each: Mapping[str, float]
    on_clock: float

    def seconds(self, work: Mapping[str, float], shared: Mapping[str, int] = MappingProxyType({})) -> float:
        """Return the seconds on the clock that work takes, where some kinds of it are `shared` by so many workers."""
        return self.on_clock * sum(self.each[kind] * n / shared.get(kind, 1) for kind, n in work.items())


def rates_of(runs: Sequence[Timed]) -> Rates:
    """Divide the time of runs among the kinds of their work.

    It is the time of processors, which does not depend on what else the machine does; the clock is for all together.
    """
    kinds = sorted({kind for run in runs for kind in run.work})
    work, cpu = np.array([[float(run.work[kind]) for kind in kinds] for run in runs]), [run.cpu for run in runs]
    largest = np.maximum(work.max(axis=0), 1)
    # Relative errors count.
    found, _ = nnls(work / largest / np.array(cpu)[:, None], np.ones(len(runs)))
    each = dict(zip(kinds, (found / largest).tolist(), strict=True))
    return Rates(each, sum(run.wall for run in runs) / sum(cpu))


def _as_it_is(run: Timed) -> Rates:
    """Return the time of a run as that of a step of which nothing is known to grow or to be shared."""
    return Rates({**dict.fromkeys(run.work, 0.0), "start": run.wall}, 1.0)


class _Run(NamedTuple):
    """What one short fit, and what follows it, took; the steps of its network, and its effects."""

    steps: dict[str, Timed]
    n_steps: int
    effects: str


class Calibration(NamedTuple):
    """What short runs have shown: rates by step, and how many steps the network takes for some cells."""

    rates: dict[str, Rates]
    n_steps: int
    n_cells: int


def calibrate(
    cells: AnnData, genes: Sequence[str], models: Sequence[int], device: str, rng: np.random.Generator
) -> Calibration:
    """Fit and scan some of the `cells`, which are in memory and on a linear scale, on some of the `genes`.

    `models` are the numbers of cells of each. Where these and the genes are few, all is done once, in no longer time.
    """
    order, n_cells = rng.permutation(cells.n_obs), round(np.mean(models))
    once = n_cells <= min(ALL, cells.n_obs / _EXPRESSING) and len(genes) <= _MOST_GENES
    few, training, many = (_some(cells, order, min(n, n_cells)) for n in (_FEW, n_cells if once else TRAINING, _MANY))
    seen = (training if once else few).X.getnnz(axis=0) > 0
    chosen = _part([gene for gene in genes if seen[cells.var_names.get_loc(gene)]], _MOST_GENES, rng)
    expressed = set(few.var_names[few.X.getnnz(axis=0) > 0])
    some = _part([gene for gene in chosen if gene in expressed], max(_FEWEST_GENES, len(chosen) // 4), rng)
    short = [] if once else [(one, part, _STEPS) for one in (few, many) for part in (some, chosen)]
    shown = progress(range(1 + len(short)), total=1 + len(short), description="short fits and scans", unit="fit")
    with settings.override(verbosity=0), _without_warnings(), tempfile.TemporaryDirectory(prefix="dko-") as folder:
        run = partial(_run, device=device, out=Path(folder) / "impacts.h5ad")
        run(few, some[:_FEWEST_GENES], _STEPS, "total")  # compiles and loads what is needed
        next(shown)
        first = run(training, chosen, None, "auto")
        runs = [first, *(run(*one, first.effects) for _, one in zip(shown, short, strict=True))]
    timed = {step: [one.steps[step] for one in runs] for step in first.steps}
    rates = {step: _as_it_is(*one) if once else rates_of(one) for step, one in timed.items()}
    return Calibration(rates, first.n_steps, training.n_obs)


def _run(cells: AnnData, genes: Sequence[str], n_steps: int | None, effects: str, device: str, out: Path) -> _Run:
    """Fit and scan, and take the time of each step."""
    size, cells = size_of(cells, genes), cells.copy()
    how: Any = {"log1p": linear(cells), "effects": effects, "max_steps": n_steps}
    clock = _timed(lambda: fit(cells, genes=genes, device=device, progress=False, **how))
    taken = int(history(cells)["step"].max())
    common = genes[int(cells[:, genes].X.getnnz(axis=0).argmax())]
    calls = {
        SCAN_OUT: lambda: scan(cells, out=out, device=device, progress=False),
        SCAN: lambda: scan(cells, device=device, progress=False),
        RANK: lambda: rank_genes(cells, progress=False),
        KO: lambda: virtual_ko(cells, common, device=device, progress=False),
    }
    steps = {FIT: Timed(_work.of_fit(size, taken), *clock)}
    steps |= {step: Timed(_work.of_cells(size), *_timed(call)) for step, call in calls.items()}
    return _Run(steps, taken, cells.uns[keys.DEFAULT][keys.PARAMS]["effects"])


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call, on the clock and of all processors together."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def linear(cells: AnnData) -> bool | None:
    """Return how to say of cells that they are not logarithms: of counts, not at all."""
    return None if are_counts(cells.X) else False


def size_of(cells: AnnData, genes: Sequence[str]) -> Size:
    """Return how much there is of these cells, and in a cell of these genes."""
    values = cells.X[:, cells.var_names.get_indexer(genes)]
    present, common = values.getnnz(axis=1).astype(float), values.getnnz(axis=0).max() / cells.n_obs
    return Size(cells.n_obs, len(genes), cells.X.nnz / cells.n_obs, present.mean(), np.square(present).mean(), common)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Say nothing of what is fitted here, which nobody will use."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _some(cells: AnnData, order: np.ndarray, n: int) -> AnnData:
    """Return the first cells in an order."""
    rows = np.sort(order[:n])
    return AnnData(cells.X[rows], obs=pd.DataFrame(index=pd.RangeIndex(len(rows)).astype(str)), var=cells.var)


def _part(genes: list[str], n: int, rng: np.random.Generator) -> list[str]:
    return genes if len(genes) <= n else [genes[number] for number in np.sort(rng.permutation(len(genes))[:n])]
