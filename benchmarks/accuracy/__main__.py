"""Fit and score all models on all data sets, and write tables to ``benchmarks/results``."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import _machine
from ..inputs import DATA
from . import (
    _calibration,
    _cells,
    _dream4,
    _essential,
    _interactions,
    _keystone,
    _prior,
    _scoreboard,
    _screens,
    _simulated,
    _specificity,
    _types,
    _unseen,
)
from ._job import run
from ._models import only_default
from ._report import write

RESULTS = Path(__file__).parents[1] / "results"
SETS = {
    "simulated": _simulated,
    "types": _types,
    "keystone": _keystone,
    "essential": _essential,
    "calibration": _calibration,
    "interactions": _interactions,
    "dream4": _dream4,
    "screens": _screens,
    "prior": _prior,
    "specificity": _specificity,
    "unseen": _unseen,
    "cells": _cells,
}


def main() -> None:
    """Run, write and print."""
    options = _options()
    if options.redraw:
        print(_scoreboard.redraw(_about(options), options.out))
        return
    if options.only_default:
        only_default()
    chosen = [name for name in SETS if name in (options.sets or SETS)]
    if missing := [file for name in chosen for file in SETS[name].FILES if not (DATA / file).is_file()]:
        raise SystemExit(f"{DATA} lacks {', '.join(missing)}; set DKO_TEST_DATA to the folder that holds them.")
    work = [(name, job) for name in chosen for job in SETS[name].jobs(options.seeds, options.quick)]
    if options.only_default:
        work = [(name, job) for name, job in work if "peer" not in job[1]]
    table, targets = run([job for _, job in work], options.workers)
    about = _about(options)
    for name in chosen:
        datasets = {job[1].get("data", job[1].get("setting")) for family, job in work if family == name}
        print(write(name, table[table["data"].isin(datasets)], about, options.out), flush=True)
    if len(targets):
        print(_scoreboard.write(targets, about, options.out), flush=True)
    print(f"Written to {options.out}.")


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": _machine.describe(),
        "seeds": options.seeds,
        "quick": options.quick,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="set", help=f"all of them by default: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each model (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each (default 2)")
    parser.add_argument("--quick", action="store_true", help="few cells and steps, to see that it runs; needs --out")
    parser.add_argument(
        "--only-default", action="store_true", help="no other model or tool, only baselines; needs --out"
    )
    parser.add_argument(
        "--redraw", action="store_true", help="run nothing; write the tables and the picture of all sets again"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    if unknown := sorted(set(options.sets) - set(SETS)):
        parser.error(f"there is no set {', '.join(unknown)}; choose among {', '.join(SETS)}")
    if options.seeds < 1 or options.workers < 1:
        parser.error("--seeds and --workers must be at least 1")
    if (options.quick or options.only_default) and options.out == RESULTS:
        parser.error("This would replace complete results; name another folder, --out DIR.")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
