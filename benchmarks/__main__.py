"""Run cases, print their tables, and write dated results to ``benchmarks/results``: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ._machine import describe
from ._report import page, summarise, write, write_latest
from ._runner import call, run_case
from .cases import CASES

RESULTS = Path(__file__).parent / "results"
REPRODUCE = "reproduce"
NAMES = [*(case.name for case in CASES), REPRODUCE]
_LONG = [case.name for case in CASES if case.named]


def main() -> None:
    """Run, print and write."""
    options = _options()
    folder = options.out or (None if options.quick else RESULTS)
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe(), "quick": options.quick}
    chosen = options.cases or [name for name in NAMES if name not in (_LONG if not options.quick else [REPRODUCE])]
    cases = [case for case in CASES if case.name in chosen]
    with tempfile.TemporaryDirectory() as inputs:
        if names := sorted({name for case in cases for name in case.inputs}):
            call("inputs:write", {"inputs": inputs, "names": names, "quick": options.quick})
        for case in cases:
            rounds = run_case(case, Path(inputs), repeats=options.repeats or case.repeats, quick=options.quick)
            summary = summarise(case, rounds, about)
            print(page(summary), flush=True)
            if folder:
                write(summary, folder)
    if REPRODUCE in chosen:
        _reproduce(folder, about["date"])
    if folder:
        write_latest(folder, NAMES)
        print(f"Written to {folder}.")


def _reproduce(folder: Path | None, date: str) -> None:
    """Write the page about agreement with the published results, which has no contestants."""
    from . import reproduce

    text = reproduce.run()
    print(text)
    if folder:
        (folder / f"{date}_{REPRODUCE}.md").write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure dko against alternatives.")
    parser.add_argument(
        "cases", nargs="*", metavar="case", help=f"{', '.join(NAMES)}; all by default, but {', '.join(_LONG)}"
    )
    parser.add_argument("--repeats", type=int, help="rounds of each case, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to see that everything runs; writes nothing")
    parser.add_argument("--out", type=Path, help="folder for the results; also writes those of a quick run")
    options = parser.parse_args()
    if unknown := sorted(set(options.cases) - set(NAMES)):
        parser.error(f"there is no case {', '.join(unknown)}; choose among {', '.join(NAMES)}")
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats {options.repeats} must be at least 1")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
