"""Reports of small cells that have every result, and pages taken apart."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

HOSTILE = "<script>alert('x')</script>"
_VOID = {"meta", "img", "link", "input", "br", "hr"}


@dataclass
class Table:
    """A table as a reader sees it."""

    caption: str = ""
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    values: list[list[str | None]] = field(default_factory=list)

    def column(self, name):
        place = self.header.index(name)
        return [row[place] for row in self.rows]


class Page(HTMLParser):
    """Sections, tables, pictures and links of a page; fails if tags are not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.section = ""
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[Table]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag in _VOID:
            return
        self.open.append(tag)
        if tag == "section":
            self.section = given["id"]
            self.sections[self.section] = ""
        if tag == "table":
            self.tables.setdefault(self.section, []).append(Table())
        if tag == "th":
            self.table.header.append("")
        if tag == "tr" and "tbody" in self.open:
            self.table.rows.append([])
            self.table.values.append([])
        if tag == "td":
            self.table.rows[-1].append("")
            self.table.values[-1].append(given.get("data-sort"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        if self.section:
            self.sections[self.section] += data
        if "caption" in self.open:
            self.table.caption += data
        if "th" in self.open:
            self.table.header[-1] += data
        if "td" in self.open:
            self.table.rows[-1][-1] += data

    @property
    def table(self):
        return self.tables[self.section][-1]

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
    """Every result of the first model, under names that are HTML."""
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


@pytest.fixture
def complete(_complete):
    """Cells with every result of the first model but an evaluation."""
    return _complete.copy()


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
