"""How long it takes from ten thousand to a hundred million cells: ``python -m benchmarks.scale``.

Short fits and scans of PBMC 3k on this machine, as :func:`dko.tl.plan` makes them, and what they say of more cells like
these; beside it, what was said of all of its cells, and what these took. Writes ``results/scale.json``, all that was
measured, and ``results/scale.md``, made of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._machine import describe
from ._measure import measure
from ._report import table

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

RESULTS = Path(__file__).parent / "results"
_CELLS, _WORKERS = [10**power for power in range(4, 9)], (1, 16, 64)
_N_GENES = 2_000
_COPIES = 10
# Cells of them that are calibrated on, as in a plan.
_SAMPLE = 4_000


def main() -> None:
    """Measure, write the numbers, and make the tables of them; ``--redraw`` makes the tables alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--redraw", action="store_true", help="make the tables of the numbers that are there")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the numbers and the tables")
    options = parser.parse_args()
    path = options.out / "scale.json"
    if not options.redraw:
        path.write_text(json.dumps(_measured(), indent=1) + "\n")
    text = page(json.loads(path.read_text()))
    (options.out / "scale.md").write_text(text)
    print(text)


def _measured() -> dict[str, Any]:
    """Calibrate, and compare with whole calls on PBMC 3k and on ten times as many cells."""
    from .inputs import _pbmc, _settle

    _settle()
    few = _pbmc()
    many = mixed(few)
    found = _calibrated(few, _CELLS[-1])
    comparison = [
        *_compared(few, _calibrated(few, few.n_obs)),
        *_compared(many, _calibrated(many[:_SAMPLE].copy(), many.n_obs)),
    ]
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe()}
    return {**about, **found, "comparison": comparison}


def _calibrated(cells: AnnData, n_cells: int) -> dict[str, Any]:
    """Return what the runs of a plan for so many cells like these have shown, as plain numbers."""
    import dko
    from dko.tl.planning._calibration import calibrate, size_of

    genes = dko.pp.select_genes(cells, n_top_genes=_N_GENES)
    found = calibrate(cells, genes, [n_cells], "cpu", np.random.default_rng(0))
    rates = {step: {"each": one.each, "on_clock": one.on_clock} for step, one in found.rates.items()}
    size = size_of(cells, genes)._asdict()
    return {
        "size": {name: float(value) for name, value in size.items()},
        "rates": rates,
        "n_steps": found.n_steps,
        "n_cells": found.n_cells,
    }


def mixed(cells: AnnData) -> AnnData:
    """Return ten times as many other cells: counts that are Poisson around the mean of two cells of a type."""
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    rng, types = np.random.default_rng(0), cells.obs["cell_type"].to_numpy()
    parts = []
    for _ in range(_COPIES):
        other = np.arange(len(types))
        for one in np.unique(types):
            rows = np.flatnonzero(types == one)
            other[rows] = rng.permutation(rows)
        mean = (cells.X + cells.X[other]) / 2
        mean.data = rng.poisson(mean.data).astype(np.float32)
        mean.eliminate_zeros()
        parts.append(sparse.csr_matrix(mean))
    counts = sparse.vstack(parts, format="csr")
    return ad.AnnData(counts, obs=pd.DataFrame(index=pd.RangeIndex(len(types) * _COPIES).astype(str)), var=cells.var)


def _compared(cells: AnnData, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return planned and measured times of the steps, on the clock and of the processors."""
    import dko
    from dko.tl._plan import estimate
    from dko.tl.planning import _memory

    size, calibration = calibration_of(found)
    size = size._replace(n_cells=cells.n_obs)
    planned = estimate(size, calibration)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        calls = {
            "fit": lambda: dko.tl.fit(cells, n_top_genes=_N_GENES, progress=False),
            "scan to a file": lambda: dko.tl.scan(cells, out=Path(folder) / "impacts.h5ad", progress=False),
            "scan": lambda: dko.tl.scan(cells, progress=False),
            "rank_genes": lambda: dko.tl.rank_genes(cells, progress=False),
        }
        for step, call in calls.items():
            figures = measure(call)
            row = planned.loc[step]
            rows.append(
                {
                    "cells": cells.n_obs,
                    "step": step,
                    "planned": row["seconds"] / calibration.rates[step].on_clock * found["rates"][step]["on_clock"],
                    "measured": figures["wall"],
                    "planned cpu": row["seconds"] / calibration.rates[step].on_clock,
                    "measured cpu": figures["cpu"],
                    "planned memory": (_memory.peak(step, size, 1) - _memory.now()) / 1e6,
                    "measured memory": figures["extra"],
                }
            )
    return rows


def calibration_of(numbers: dict[str, Any]) -> tuple[Any, Any]:
    """Return the size and the calibration that numbers stand for, on a machine that does nothing else."""
    from dko.tl.planning._calibration import Calibration, Rates
    from dko.tl.planning._work import Size

    rates = {step: Rates(one["each"], min(1.0, one["on_clock"])) for step, one in numbers["rates"].items()}
    size = Size(**{**numbers["size"], "n_genes": int(numbers["size"]["n_genes"])})
    return size, Calibration(rates, numbers["n_steps"], numbers["n_cells"])


def planned(numbers: dict[str, Any]) -> dict[int, dict[int, pd.DataFrame]]:
    """Return the plan for each number of cells and of workers."""
    from dko.tl._plan import estimate

    size, calibration = calibration_of(numbers)
    return {
        n: {workers: estimate(size._replace(n_cells=n), calibration, workers=workers) for workers in _WORKERS}
        for n in _CELLS
    }


def page(numbers: dict[str, Any]) -> str:
    """Return the tables, for the documentation."""
    return "\n".join([_of_sizes(numbers), _of_slopes(numbers), _of_comparison(numbers)])


def _of_sizes(numbers: dict[str, Any]) -> str:
    size = numbers["size"]
    header = ["cells", "knockouts", "impacts on disk"]
    header += ["fit", *(f"scan, {workers} x" for workers in _WORKERS)]
    rows = []
    for n, of_workers in planned(numbers).items():
        one = of_workers[1]
        scans = [of_workers[workers].loc["scan to a file", "seconds_with_workers"] for workers in _WORKERS]
        times, scan = [_hours(one) for one in (one.loc["fit", "seconds"], *scans)], one.loc["scan to a file"]
        rows.append([f"{n:,}", f"{scan['knockouts'] / 1e6:,.0f} million", _gigabytes(scan["disk_bytes"]), *times])
    lead = (
        f"{numbers['date']}; {numbers['machine']} Genes of the fit: {size['n_genes']:,.0f}, of which a cell expresses "
        f"{size['present']:.0f}. Hours on this machine (1 x) and with 16 and 64 workers like it, where nothing else "
        "runs. If something did when it was measured, they are those of one processor.\n"
    )
    return f"## Ten thousand to a hundred million cells\n\n{lead}\n{table(header, rows)}"


def _of_slopes(numbers: dict[str, Any]) -> str:
    """Return, of each step, what a cell and what is beside the cells takes."""
    from dko.tl.planning import _work

    size, calibration = calibration_of(numbers)
    rows = []
    for step, rates in calibration.rates.items():
        few, many = (
            _work.of_fit(size._replace(n_cells=n), _work.steps_at_most(n)) if step == _work.FIT
            else _work.of_cells(size._replace(n_cells=n))
            for n in (10**6, 2 * 10**6)
        )  # fmt: skip
        slope = (rates.seconds(many) - rates.seconds(few)) / 10**6
        on_clock = numbers["rates"][step]["on_clock"]
        rows.append([step, f"{1e6 * slope:.3g}", f"{rates.seconds(few) - 10**6 * slope:.3g}", f"{on_clock:.2f}"])
    header = ["step", "µs per cell", "s beside that", "clock over CPU when measured"]
    return f"## Measured slopes\n\n{table(header, rows)}"


def _of_comparison(numbers: dict[str, Any]) -> str:
    rows = [
        [
            f"{one['cells']:,}",
            one["step"],
            *(f"{one[name]:.2f}" for name in ("planned", "measured", "planned cpu", "measured cpu")),
            f"{one['planned cpu'] / one['measured cpu']:.2f}",
            *(f"{one[name]:,.0f}" for name in ("planned memory", "measured memory")),
        ]
        for one in numbers["comparison"]
    ]
    header = ["cells", "step", "planned, s", "measured, s", "planned, CPU s", "measured, CPU s", "ratio of CPU"]
    header += ["planned, extra MB", "measured, extra MB"]
    return f"## Planned and measured\n\n{table(header, rows)}"


def _hours(seconds: float) -> str:
    hours = seconds / 3_600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.0f} GB" if n_bytes >= 1e10 else f"{n_bytes / 1e9:.2g} GB"


if __name__ == "__main__":
    main()
