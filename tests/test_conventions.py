"""Rules that every public function keeps."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import sparse

import dko

PACKAGES = ("tl", "get", "pl", "pp", "io", "metrics", "datasets")
FUNCTIONS = {
    f"{package}.{name}": getattr(getattr(dko, package), name)
    for package in PACKAGES
    for name in getattr(dko, package).__all__
}
ON_ADATA = {name: function for name, function in FUNCTIONS.items() if name.split(".")[0] in ("tl", "get", "pl", "pp")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_most_two_positional_parameters(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(positional) <= 2
    assert not any(p.kind == p.VAR_POSITIONAL for p in parameters)


@pytest.mark.parametrize("name", ON_ADATA)
def test_adata_comes_first_and_names_are_those_of_scanpy(name):
    parameters = inspect.signature(ON_ADATA[name]).parameters
    assert next(iter(parameters)) == "adata"
    assert not {"random_state", "seed", "layer_key", "inplace", "save", "n_jobs"} & set(parameters)
    assert "mod" in parameters
    if "copy" in parameters:
        assert parameters["copy"].default is False and parameters["copy"].kind == inspect.Parameter.KEYWORD_ONLY
    assert ("copy" in parameters) == (name.startswith("tl.") or name == "pp.split_perturbations")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_every_parameter_and_what_comes_back(name):
    function = FUNCTIONS[name]
    doc = inspect.getdoc(function) or ""
    assert "\nParameters\n---" in doc or not inspect.signature(function).parameters
    assert "\nReturns\n---" in doc or name == "io.save"
    lines = {part.strip().lstrip("*") for line in doc.splitlines() for part in line.split(" : ")[0].split(",")}
    kinds = (inspect.Parameter.VAR_KEYWORD,)
    unnamed = [p.name for p in inspect.signature(function).parameters.values() if p.name not in lines]
    assert [p for p in unnamed if inspect.signature(function).parameters[p].kind not in kinds] == []


def test_all_names_what_is_there():
    for package in PACKAGES:
        module = getattr(dko, package)
        public = {n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")}
        assert public == set(module.__all__)
        assert list(module.__all__) == sorted(module.__all__)


@pytest.fixture
def fitted(_prepared, monkeypatch):
    """The fitted cells with measured knockouts among them, and a model of these."""
    stand_in(monkeypatch)
    return _prepared.copy()


def stand_in(monkeypatch):
    """Let a mean stand for decoupler."""
    means = SimpleNamespace(ulm=lambda data, **how: (data.iloc[:, :1].set_axis(["set"], axis=1), None))
    monkeypatch.setitem(sys.modules, "decoupler", SimpleNamespace(mt=means))


@pytest.fixture(scope="module")
def _prepared(_fitted):
    fitted = _fitted.copy()
    # A model whose scan and affected genes no other tool makes anew.
    fitted.uns[TWIN] = fitted.uns["dko"]
    dko.tl.scan(fitted, key=TWIN)
    dko.tl.affected_genes(fitted, "gene_2", key=TWIN)
    # Something to cluster by, under a name that no other tool writes to.
    scanned = dko.tl.scan(fitted, copy=True)
    assert scanned is not None
    fitted.layers["scanned_impact"] = scanned.layers["dko_impact"]
    fitted.layers["scanned_downstream"] = scanned.layers["dko_downstream"]
    fitted.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15
    dko.tl.fit(
        fitted,
        model="sccvae",
        perturbation_key="knockout",
        control="control",
        normalize=True,
        min_cells=10,
        n_latent=4,
        hidden=(8,),
        max_steps=5,
        n_members=1,
        progress=False,
        key_added=SCREEN,
    )
    return fitted


SCREEN, TWIN = "dko_screen", "dko_twin"
SETS = pd.DataFrame({"source": "set", "target": [f"gene_{number}" for number in range(3, 9)]})
# Of a model of perturbations; and of a scan that no other tool makes anew.
OF_SCREEN = {"modules": {"key": SCREEN}, "clusters": {"key": "dko_scanned"}, "enrichment": {"key": TWIN}}


STEPS = {
    "fit": lambda adata, **kwargs: dko.tl.fit(adata, max_epochs=1, progress=False, key_added="new", **kwargs),
    "scan": lambda adata, **kwargs: dko.tl.scan(adata, **kwargs),
    "virtual_ko": lambda adata, **kwargs: dko.tl.virtual_ko(adata, "gene_2", **kwargs),
    "evaluate": lambda adata, **kwargs: dko.tl.evaluate(
        adata, perturbation_key="knockout", control="control", progress=False, **kwargs
    ),
    "double_ko": lambda adata, **kwargs: dko.tl.double_ko(adata, n_samples=10, **kwargs),
    "rank_genes": lambda adata, **kwargs: dko.tl.rank_genes(adata, n_bootstraps=2, key=TWIN, **kwargs),
    "affected_genes": lambda adata, **kwargs: dko.tl.affected_genes(adata, "gene_2", **kwargs),
    "enrichment": lambda adata, **kwargs: dko.tl.enrichment(adata, SETS, key=TWIN, **kwargs),
    "interactions": lambda adata, **kwargs: dko.tl.interactions(
        adata, ["gene_2", "gene_3", "gene_4"], n_permutations=10, **kwargs
    ),
    "dose_response": lambda adata, **kwargs: dko.tl.dose_response(adata, "gene_2", doses=[0, 0.5, 1], **kwargs),
    "cluster_impact": lambda adata, **kwargs: dko.tl.cluster_impact(
        adata, key="scanned", key_added="dko_scanned", **kwargs
    ),
    "identity_shift": lambda adata, **kwargs: dko.tl.identity_shift(
        adata, "gene_2", groupby="cell_type", n_neighbors=5, **kwargs
    ),
    "perturbation_modules": lambda adata, **kwargs: dko.tl.perturbation_modules(
        adata, alpha=0.5, n_null=20, key=SCREEN, **kwargs
    ),
}


def test_every_tool_is_among_the_steps():
    assert set(STEPS) == set(dko.tl.__all__)


@pytest.mark.parametrize("name", STEPS)
def test_copy_leaves_the_input_alone_and_does_the_same(name, fitted, same, unchanged):
    with unchanged(fitted):
        changed = STEPS[name](fitted, copy=True)
    assert STEPS[name](fitted) is None
    same(changed, fitted)


@pytest.mark.parametrize("name", STEPS)
def test_copy_of_a_view_leaves_it_a_view(name, fitted, unchanged):
    view = fitted[10:60]
    with unchanged(fitted), unchanged(view):
        STEPS[name](view, copy=True)


@pytest.mark.parametrize("name", STEPS)
def test_only_what_is_named_changes(name, fitted, same):
    fitted.layers["mine"] = fitted.X.copy()
    fitted.uns["mine"] = {"a": 1}
    before = fitted.copy()
    STEPS[name](fitted)
    for place in ("layers", "obsm", "obs", "var", "uns"):
        entries = getattr(fitted, place)
        for entry in set(entries) - set(getattr(before, place)) - {None}:
            assert entry.startswith(("dko", "new", "X_dko"))
            del entries[entry]
    if name != "fit":
        fitted.uns["dko"] = before.uns["dko"]
    same(fitted, before)


@pytest.fixture(scope="module")
def _finished(_prepared):
    """The same after every tool but a new fit."""
    finished = _prepared.copy()
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in(monkeypatch)
        for step in set(STEPS) - {"fit"}:
            STEPS[step](finished)
    return finished


@pytest.mark.parametrize("name", dko.get.__all__)
def test_getters_change_nothing_and_give_away_nothing(name, _finished, unchanged):
    finished = _finished.copy()
    with unchanged(finished):
        found = getattr(dko.get, name)(finished, **OF_SCREEN.get(name, {}))
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


def test_import_is_light_and_silent():
    run = subprocess.run([sys.executable, "-W", "error", "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


OTHERS = {
    "get.effects": lambda adata: dko.get.effects(adata, ["gene_2"]),
    "get.fit_quality": lambda adata: dko.get.fit_quality(adata),
    "get.impact": lambda adata: dko.get.impact(adata, key=TWIN),
    "get.profiles": lambda adata: dko.get.profiles(adata),
    "pp.select_genes": lambda adata: dko.pp.select_genes(adata, n_top_genes=5),
    "pp.split_perturbations": lambda adata: dko.pp.split_perturbations(
        adata, perturbation_key="knockout", control="control", n_folds=2
    ),
    "pl.fit": lambda adata: dko.pl.fit(adata, return_fig=True),
    "pl.history": lambda adata: dko.pl.history(adata, return_fig=True),
    "pl.impact": lambda adata: dko.pl.impact(adata, "gene_2", key=TWIN, return_fig=True),
    "io.save": lambda adata: dko.io.save(adata, "model.npz"),
    "io.load": lambda adata: dko.io.load(adata, "model.npz", key_added="new"),
    "io.write_report": lambda adata: dko.io.write_report(adata, "report.html"),
    "tl.scan(out)": lambda adata: dko.tl.scan(adata, out="impacts.h5ad"),
}


@pytest.mark.parametrize("name", [*STEPS, *OTHERS])
def test_the_process_is_as_before(name, fitted, process_unchanged, monkeypatch, tmp_path):
    """Settings, threads, random numbers and open files; also after an error."""
    call = STEPS.get(name) or OTHERS[name]
    monkeypatch.chdir(tmp_path)
    dko.io.save(fitted, "model.npz")
    # What is imported and compiled stays.
    call(fitted.copy())
    with process_unchanged():
        call(fitted)
    with process_unchanged(), pytest.raises((KeyError, ValueError, TypeError)):
        del fitted.uns["dko"]["weights"], fitted.uns[SCREEN]["weights"]
        call(fitted)
        raise KeyError("not every call needs the weights")


def test_every_test_that_holds_a_promise_is_there():
    root = Path(__file__).parents[1]
    page = root / "docs" / "promises.md"
    if not page.is_file():
        pytest.skip("the documentation is not in the source archive")
    path = ""
    for here, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", page.read_text()):
        path = here or path
        assert name is None or not name or f"def {name}(" in (root / path).read_text(), f"{path}::{name}"
