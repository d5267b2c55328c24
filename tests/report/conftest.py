"""Reports of small cells that have every result, and pages taken apart."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import dko

from ..conftest import copy_of

HOSTILE = "<script>alert('x')</script>"


class Table:
    """A table as a reader sees it, and the numbers that it is sorted by."""

    def __init__(self, table):
        self.caption, *_ = ("".join(one.itertext()) for one in table.iter("caption"))
        self.header = ["".join(one.itertext()) for one in table.iter("th")]
        rows = [row for row in table.iter("tr") if row.find("td") is not None]
        self.rows = [["".join(cell.itertext()) for cell in row] for row in rows]
        self.values = [[cell.get("data-sort") for cell in row] for row in rows]

    def column(self, name):
        place = self.header.index(name)
        return [row[place] for row in self.rows]


class Page:
    """Sections, tables and tags of a page; fails if tags are not closed in order."""

    def __init__(self, html):
        self.html, self.scripts = html, re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
        bare = re.sub(r"<!DOCTYPE html>|<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
        bare = re.sub(r"<((?:meta|img|link|input|br|hr)\b[^>]*)>", r"<\1/>", bare)
        root = ElementTree.fromstring(re.sub(r" data-sort-reverse(?!=)", ' data-sort-reverse=""', bare))
        self.tags = [(one.tag, one.attrib) for one in root.iter()]
        sections = {one.attrib["id"]: one for one in root.iter("section")}
        self.sections = {name: "".join(one.itertext()) for name, one in sections.items()}
        self.tables = {name: [Table(table) for table in one.iter("table")] for name, one in sections.items()}

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="session")
def page_of(tmp_path_factory):
    """Write a report and take it apart, as a function."""

    def write(adata, **how):
        path = tmp_path_factory.mktemp("report") / "report.html"
        dko.io.write_report(adata, path, **how)
        return Page(path.read_text(encoding="utf-8"))

    return write


@pytest.fixture(scope="session")
def _complete(_cells, quick):
    """Every result of the first model but an evaluation, under names that are HTML."""
    adata = _cells.copy()
    adata.var_names = [*adata.var_names[:-1], HOSTILE]
    adata.obs["cell_type"] = pd.Categorical(np.where(np.arange(80) % 2, "CD4/CD8 T", HOSTILE))
    dko.tl.fit(adata, **{**quick, "effects": "total", "max_epochs": 2})
    dko.tl.scan(adata)
    few: dict[str, Any] = {"n_bootstraps": 20}
    dko.tl.rank_genes(adata, **few)
    dko.tl.rank_genes(adata, groupby="cell_type", key_added="by_type", **few)
    dko.tl.virtual_ko(adata, [HOSTILE, ("gene_4", "gene_5")])
    dko.tl.affected_genes(adata, ["gene_3", HOSTILE], n_others=10)
    dko.tl.interactions(adata, ["gene_2", "gene_3", HOSTILE], n_permutations=10)
    dko.tl.cluster_impact(adata, groupby="cell_type")
    dko.tl.identity_shift(adata, HOSTILE, groupby="cell_type", n_neighbors=5)
    dko.tl.dose_response(adata, HOSTILE, doses=[0, 0.5, 1])
    dko.tl.perturbation_modules(adata, alpha=1.0)
    return adata


complete = copy_of("complete")


@pytest.fixture(scope="session")
def full_page(_complete, page_of):
    """The report of these."""
    return page_of(_complete, title=HOSTILE, n_genes=4)


@pytest.fixture(scope="session")
def browser():
    """Run a headless browser with these words; returns what it printed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")

    def run(folder, *words):
        # Its sandbox needs rights that containers do not give; the page is ours.
        fixed = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000")
        place = f"--user-data-dir={folder / 'profile'}"
        ran = subprocess.run([found, *fixed, place, *words], capture_output=True, text=True, timeout=60, check=True)
        return ran.stdout

    return run
