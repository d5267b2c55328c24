"""Rules that every public function keeps."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from scipy import sparse

import dko

from .conftest import FUNCTIONS, OF_SCREEN, TOOLS, assert_same_adata, call

PACKAGES = ("tl", "get", "pl", "pp", "io", "metrics", "datasets")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_most_two_positional_parameters(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(positional) <= 2
    assert not any(p.kind == p.VAR_POSITIONAL for p in parameters)


ON_CELLS = [name for name in FUNCTIONS if name.split(".")[0] in ("tl", "get", "pl", "pp") and name != "pl.style"]


@pytest.mark.parametrize("name", ON_CELLS)
def test_adata_comes_first_and_names_are_those_of_scanpy(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert next(iter(parameters)) == "adata"
    assert not {"random_state", "seed", "layer_key", "inplace", "save", "n_jobs"} & set(parameters)
    assert "mod" in parameters
    assert ("copy" in parameters) == (name in TOOLS or name == "pp.split_perturbations")
    assert "copy" not in parameters or parameters["copy"].default is False


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_every_parameter_and_what_comes_back(name):
    function = FUNCTIONS[name]
    doc, parameters = inspect.getdoc(function) or "", inspect.signature(function).parameters
    assert "\nParameters\n---" in doc or not parameters
    assert "\nReturns\n---" in doc or name == "io.save"
    lines = {part.strip().lstrip("*") for line in doc.splitlines() for part in line.split(" : ")[0].split(",")}
    assert [p.name for p in parameters.values() if p.name not in lines and p.kind != p.VAR_KEYWORD] == []


def test_all_names_what_is_there():
    for package in PACKAGES:
        module = getattr(dko, package)
        public = {n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")}
        assert public == set(module.__all__)
        assert list(module.__all__) == sorted(module.__all__)


@pytest.mark.parametrize("name", TOOLS)
def test_copy_leaves_the_input_alone_and_does_the_same(name, prepared, unchanged):
    with unchanged(prepared):
        changed = call(name, prepared, copy=True)
    assert call(name, prepared) is None
    assert_same_adata(changed, prepared)


@pytest.mark.parametrize("name", TOOLS)
def test_copy_of_a_view_leaves_it_a_view(name, prepared, unchanged):
    view = prepared[10:60]
    with unchanged(prepared), unchanged(view):
        call(name, view, copy=True)


@pytest.mark.parametrize("name", TOOLS)
def test_only_what_is_named_changes(name, prepared):
    prepared.layers["mine"] = prepared.X.copy()
    prepared.uns["mine"] = {"a": 1}
    before = prepared.copy()
    call(name, prepared)
    for place in ("layers", "obsm", "obs", "var", "uns"):
        entries = getattr(prepared, place)
        for entry in set(entries) - set(getattr(before, place)) - {None}:
            assert entry.startswith(("dko", "new", "X_dko"))
            del entries[entry]
    if name != "tl.fit":
        prepared.uns["dko"] = before.uns["dko"]
    assert_same_adata(prepared, before)


@pytest.mark.parametrize("name", [f"get.{name}" for name in dko.get.__all__])
def test_getters_change_nothing_and_give_away_nothing(name, finished, unchanged):
    with unchanged(finished):
        found = call(name, finished)
        if hasattr(found, "X"):
            (found.X.data if sparse.issparse(found.X) else found.X)[:] = 7
            found.obs["new"] = 1
        else:
            found.iloc[:, -1] = 7.0


LIGHT = """
import sys
import dko
heavy = {"torch", "scanpy", "matplotlib", "numba", "lightning_fabric", "sklearn", "mudata"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_version_is_that_of_the_installed_package():
    assert dko.__version__ == version("dko")


def test_import_is_light_and_silent():
    run = subprocess.run([sys.executable, "-W", "error", "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


OTHERS = ["get.effects", "get.fit_quality", "get.impact", "get.profiles", "pp.select_genes", "pp.split_perturbations"]
OTHERS += ["pl.fit", "pl.history", "pl.impact", "io.save", "io.load", "io.write_embedding", "io.write_report"]


@pytest.mark.parametrize(("name", "how"), [*((name, {}) for name in TOOLS + OTHERS), ("tl.scan", {"out": "i.h5ad"})])
def test_the_process_is_as_before(name, how, prepared, process_unchanged, monkeypatch, tmp_path):
    """Settings, threads, random numbers and open files; also after an error."""
    monkeypatch.chdir(tmp_path)
    dko.io.save(prepared, "model.npz")
    # What is imported and compiled stays.
    call(name, prepared.copy(), **how)
    with process_unchanged():
        call(name, prepared, **how)
    with process_unchanged(), pytest.raises((KeyError, ValueError, TypeError)):
        del prepared.uns["dko"]["weights"], prepared.uns[OF_SCREEN]["weights"]
        call(name, prepared, **how)
        raise KeyError("not every call needs the weights")


def test_every_test_that_holds_a_promise_is_there():
    root = Path(__file__).parents[1]
    page = root / "docs" / "promises.md"
    if not page.is_file():
        pytest.skip("the documentation is not in the source archive")
    path = ""
    for here, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", page.read_text()):
        path = here or path
        assert not here or (root / here).is_file(), here
        assert name is None or not name or f"def {name}(" in (root / path).read_text(), f"{path}::{name}"
