"""The plan as a table for people, and as one for programs."""

from __future__ import annotations

import pandas as pd
import pytest

from dko.tl.planning._words import SIZES, UNITS, spelled


@pytest.mark.parametrize("ending", [".h5ad", ".zarr"])
def test_plan_of_a_file(dko, store, cells, tmp_path, kept, ending):
    source = store(cells, f"cells{ending}")
    with kept:
        ran = dko("plan", source, "--workers", "16")
    assert ran.code == 0, ran
    assert f"{source}: 80 cells x 20 genes" in ran.out and "with workers" in ran.out
    first = [line.split("  ")[0] for line in ran.out.splitlines()]
    assert {"fit", "scan to a file", "scan", "rank_genes"} <= set(first)
    assert ran.err.endswith(f"Next: dko fit {source} --out fitted{ending}\n")


def test_table_of_a_plan(dko, raw_file, tmp_path):
    table = tmp_path / "plan.csv"
    ran = dko("plan", raw_file, "--table", table, "--quiet", "--n-top-genes", "10")
    assert (ran.code, ran.err) == (0, "") and "with workers" not in ran.out
    written = pd.read_csv(table, index_col="step")
    assert (written["genes"] == 10).all() and (written.loc["fit", "seconds"] > 0).all()
    assert dko("plan", raw_file, "--table", table).error == f"'{table}' exists; add --force to replace it."


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [(0.51, UNITS, "0.5 s"), (89, UNITS, "89 s"), (150, UNITS, "2.5 min"), (1e6, UNITS, "12 days")]
    + [(2.3e9, SIZES, "2.3 GB"), (4.1e14, SIZES, "410 TB"), (0, SIZES, "0.0 MB")],
)
def test_units(value, units, text):
    assert spelled(value, units) == text
