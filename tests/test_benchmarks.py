"""The benchmarks run and count right; what they measure is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dko

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in the source archive"
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def inputs(tmp_path):
    """Folder with the small cells of a quick run."""
    from benchmarks.inputs import write

    with dko.settings.override(verbosity=0, device="cpu"):
        write(str(tmp_path), ["variable", "reference"], quick=True)
        yield str(tmp_path)


def _case(**of_claim):
    from benchmarks._case import Case, Contestant, number, times_faster

    claims = [
        times_faster("faster", "ours", "other", each=True, **of_claim),
        number("memory", "ours", "extra", unit="MB"),
    ]
    return Case("name", "Title", [Contestant("ours", "a:b"), Contestant("other", "a:c")], claims)


def _round(ours, other):
    return {
        "ours": {"wall": ours, "cpu": 1.0, "work": 10, "extra": 7.0},
        "other": {"wall": other, "cpu": 2.0, "work": 5},
    }


ABOUT = {"date": "2026-01-02", "machine": "a machine", "quick": False}


def test_a_command_runs_fresh_processes_and_writes_what_the_documentation_includes(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "import", "--quick", "--repeats", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (numbers,) = (json.loads(path.read_text()) for path in tmp_path.glob("*_import.json"))
    assert len(numbers["contestants"]["import dko"]["wall"]) == 1
    assert (
        numbers["contestants"]["import anndata"]["process wall"][0]
        > numbers["contestants"]["import anndata"]["wall"][0]
    )
    assert "# Import in a fresh process" in done.stdout
    assert (tmp_path / "latest.md").read_text().startswith("## Import in a fresh process")


def test_an_unknown_case_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "scans"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no case scans" in done.stderr


def test_every_target_of_every_case_is_there():
    from importlib import import_module

    from benchmarks.cases import CASES

    for contestant in (contestant for case in CASES for contestant in case.contestants):
        module, function = contestant.target.split(":")
        assert callable(getattr(import_module(f"benchmarks.{module}"), function))


def test_ratios_are_per_piece_of_work_and_their_median_meets_the_bar():
    from benchmarks._report import page, summarise

    summary = summarise(_case(at_least=8.0), [_round(1.0, 4.0), _round(1.0, 2.0), _round(1.0, 100.0)], ABOUT)
    faster, memory = summary["claims"]
    assert faster["values"] == [8.0, 4.0, 200.0]
    assert faster["by_cpu"] == [4.0] * 3
    assert (faster["met"], memory["met"]) == (True, None)
    assert "| faster | 8 (4 to 200) times | 4 | at least 8 times | met |" in page(summary)


def test_a_bar_that_is_not_met_stays_in_the_table():
    from benchmarks._report import page, summarise

    assert "**not met**" in page(summarise(_case(at_least=8.1), [_round(1.0, 4.0)], ABOUT))


def test_a_contestant_that_cannot_run_is_named_with_the_reason():
    from benchmarks._report import page, summarise

    text = page(summarise(_case(at_least=8.0), [_round(1.0, 4.0) | {"other": {"skipped": "no network"}}], ABOUT))
    assert "Not measured: other (no network)." in text
    assert "| faster |  |  | at least 8 times | not reached or not measured |" in text
    assert "| memory | 7 MB |" in text


def test_the_alternatives_make_the_knockouts_that_a_scan_makes(inputs):
    from benchmarks.contestants import scan

    ours = scan.whole(inputs, "variable", n_sample=300)
    dense = scan.dense_batches(inputs, "variable", n_sample=300, batch_size=64)
    loop = scan.one_at_a_time(inputs, "variable", n_sample=40)
    assert ours["impacts"] == pytest.approx(dense["impacts"], abs=1e-5)
    assert ours["impacts"][:40] == pytest.approx(loop["impacts"], abs=1e-5)
    assert len(set(ours["impacts"])) > 200


def test_the_alternative_makes_the_doubles_that_were_drawn(inputs):
    from benchmarks.contestants import double

    ours = double.sampled(inputs, n=200, n_sample=50)
    loop = double.one_at_a_time(inputs, n=200, n_sample=50)
    assert ours["work"] == 200
    assert ours["impacts"] == pytest.approx(loop["impacts"], abs=1e-5)


def test_a_fit_is_timed_to_the_loss_of_the_loop_on_the_same_cells(inputs):
    from benchmarks.contestants import fit

    loop = fit.loop(inputs, "batched", n_steps=20, seed=1)
    same = fit.loop(inputs, "cell_by_cell", n_steps=20, seed=1)
    assert same["final loss"] == pytest.approx(loop["final loss"], abs=1e-4)
    ours = fit.ours(inputs, None, 1, loop["final loss"], 0.0, loop["validation"])
    assert ours["final wall"] > 0
    assert "best wall" not in ours  # no fit reaches a loss of 0
    with pytest.raises(RuntimeError, match="other cells"):
        fit.ours(inputs, None, 2, loop["final loss"], 0.0, loop["validation"])


def test_memory_counts_what_a_call_takes_and_gives_back():
    import numpy as np

    from benchmarks._measure import measure

    figures = measure(lambda: np.ones(4_000_000).sum())  # 32 MB
    assert 25 < figures["extra"] < 60
