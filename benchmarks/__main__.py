"""Run every benchmark and write a dated table of each to ``benchmarks/results``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from . import reproduce

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run, print and write."""
    text = reproduce.run()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}_reproduce.md"
    path.write_text(text)
    print(f"{text}\nWritten to {path}.")


if __name__ == "__main__":
    main()
