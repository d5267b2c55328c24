"""Run the contestants of a case in turn, each in a fresh process, and again."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._environments import Unavailable, python_of

if TYPE_CHECKING:
    from ._case import Case, Contestant, Outcome

ROOT = Path(__file__).parents[1]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Failed(Exception):
    """A contestant ended with an error; the message holds what it said."""


def run_case(case: Case, inputs: Path, *, repeats: int, quick: bool) -> list[dict[str, Outcome]]:
    """Return the rounds of a case; a contestant that cannot run has a reason under ``skipped`` instead of numbers."""
    rounds: list[dict[str, Outcome]] = []
    for number in range(repeats):
        outcomes: dict[str, Outcome] = {}
        for contestant in case.contestants:
            print(f"{case.name} {number + 1}/{repeats}: {contestant.name}", file=sys.stderr, flush=True)
            arguments: dict[str, Any] = {"inputs": str(inputs)} if case.inputs else {}
            arguments |= {**contestant.arguments, **(contestant.quick if quick else {})}
            arguments |= {word: outcomes[other].get(what) for word, (other, what) in contestant.given.items()}
            if contestant.seeded:
                arguments["seed"] = number
            outcomes[contestant.name] = _outcome(contestant, arguments, quick)
        rounds.append(outcomes)
    return rounds


def _outcome(contestant: Contestant, arguments: dict[str, Any], quick: bool) -> dict[str, Any]:
    if contestant.environment is None:
        return call(contestant.target, arguments, threads=contestant.threads)
    if quick:
        return {"skipped": "left out of a quick run"}
    try:
        python = python_of(contestant.environment)
        return call(contestant.target, arguments, threads=contestant.threads, python=python)
    except (Unavailable, Failed) as reason:
        return {"skipped": str(reason).splitlines()[-1]}


def call(
    target: str, arguments: dict[str, Any], *, threads: int | None = None, python: str = sys.executable
) -> dict[str, Any]:
    """Call ``module:function`` in a fresh process; return what it returns, and the time of the whole process."""
    limits = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    command = [python, "-m", "benchmarks.run", target, json.dumps(arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **limits}, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise Failed(f"{target} ended with status {process.returncode}.\n{process.stderr[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome = json.loads(process.stdout)
    each = {"each": 1e6 * outcome["wall"] / outcome["work"]} if "work" in outcome else {}
    return {**outcome, **each, "process wall": wall, "process cpu": cpu}
