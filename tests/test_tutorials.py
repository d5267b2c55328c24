"""The tutorials run anew, end with a conclusion, and are committed as a reader should see them."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
# No more than a reader waits for on a page.
_MOST_BYTES = 1_500_000
# What says that something went wrong, or on whose machine it was run.
_UNWANTED = r"Warning\b|WARNING|Traceback|(?<![\w.])/(tmp|home|root|work|Users|mnt|opt|usr)/|\.venv"

pytestmark = pytest.mark.skipif(not TUTORIALS, reason="the tutorials are not in the source archive")
each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def cells_of(path, kind):
    """Return the cells of a kind, as the file has them."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def words(output):
    """Return all that an output says; pictures say nothing."""
    shown = {kind: text for kind, text in output.get("data", {}).items() if kind.startswith("text/")}
    return "".join("".join(text) for text in (output.get("text", []), *shown.values()))


@each
def test_the_committed_output_is_whole_and_clean(path):
    assert path.stat().st_size < _MOST_BYTES
    code = cells_of(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "run it from top to bottom"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert not [output["ename"] for output in outputs if output["output_type"] == "error"]
    assert not [line for output in outputs for line in words(output).splitlines() if re.search(_UNWANTED, line)]


@each
def test_what_is_drawn_is_shown(path):
    drawing = [
        cell
        for cell in cells_of(path, "code")
        if re.search(r"plt\.subplots\(|\b(dko|sc)\.pl\.", "".join(cell["source"]))
    ]
    assert drawing or path.stem == "out_of_memory"
    for cell in drawing:
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"]), cell["source"]


@each
def test_it_ends_with_what_was_learned_and_what_was_not(path):
    text = "\n".join("".join(cell["source"]) for cell in cells_of(path, "markdown"))
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[-2:] == ["What we learned", "What this does not show"]
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[-2:]:
        assert len(re.findall(r"^\* ", part, re.MULTILINE)) >= 2
    assert path.stem in (ROOT / "docs" / "tutorials" / "index.md").read_text()


@pytest.mark.slow
@each
def test_it_runs(path, tmp_path, monkeypatch):
    needed = ["nbformat", "nbclient", "ipykernel"]
    needed += ["decoupler"] if "dko.tl.enrichment" in path.read_text() else []
    for name in needed:
        pytest.importorskip(name, reason=f"{name} is in the dependency group tutorial")
    monkeypatch.syspath_prepend(str(ROOT / "tutorials"))
    tutorials = import_module("run_tutorials")
    if missing := tutorials.absent(path):
        pytest.skip(f"DKO_TEST_DATA has no {', '.join(missing)}")
    monkeypatch.setenv("DKO_TEST_DATA", str(Path(os.environ.get("DKO_TEST_DATA", "data")).resolve()))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # not that of the tests
    notebook = tutorials.run(path, tmp_path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
