from __future__ import annotations

import numpy as np
import pytest

import dko
from dko._core.knockouts import engine_on, open_task
from dko.tl.knockouts import _estimate
from dko.tl.knockouts._estimate import estimate


def test_counts_the_knockouts_of_a_small_job_exactly_and_says_nothing(fitted, capsys):
    task = open_task(fitted[:60].copy(), "dko", "rna", np.arange(60) < 50)
    wanted = np.isin(task.fitted.genes, ["gene_2", "gene_3"])
    expected = estimate(task, task.presence, wanted, engine_on("cpu"))
    columns = fitted.var_names.get_indexer(["gene_2", "gene_3"])
    assert (expected.n_knockouts, expected.n_cells) == ((fitted.X[:50][:, columns] > 0).sum(), 50)
    assert expected.seconds is None and expected.n_bytes == 8 * expected.n_knockouts
    expected.tell("knockouts")
    assert capsys.readouterr().err == ""


def test_tells_of_a_long_job_before_it_begins(fitted, monkeypatch, capsys):
    monkeypatch.setattr(_estimate, "_LONG", 0)
    dko.tl.scan(fitted)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("About ") and first.endswith(" 0 MiB of results.") and " in 80 cells: about " in first
    assert last.startswith("Scanned ")


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_read_well(seconds, words):
    assert _estimate._duration(seconds) == words


def test_more_impacts_than_the_budget_ask_for_a_file(fitted):
    with dko.settings.override(result_budget=100), pytest.raises(ValueError, match=r"out='impacts.zarr'"):
        dko.tl.scan(fitted)
    assert "dko_impact" not in fitted.layers and "dko_impact_mean" not in fitted.var
