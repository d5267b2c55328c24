"""Every public function has an example in its docstring, which a reader can copy, and which runs."""

from __future__ import annotations

import doctest
import importlib.util
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import dko

from .conftest import FUNCTIONS, stand_in_for_decoupler

EXAMPLES = {**FUNCTIONS, "models.register": dko.models.register, "settings.override": dko.settings.override}
# What docs/api.md says is imported.
IMPORTED = {"dko": dko, "np": np, "pd": pd, "sc": sc}


@pytest.fixture
def reader(fit_once, monkeypatch, tmp_path):
    """Somebody in an empty folder, whose figures open no window and whose models are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dko.tl, "fit", fit_once)
    monkeypatch.setattr(dko.models, "REGISTRY", dict(dko.models.REGISTRY))
    monkeypatch.setattr(plt, "show", lambda: None)
    if importlib.util.find_spec("decoupler") is None:
        stand_in_for_decoupler(monkeypatch)
    yield
    plt.close("all")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs_and_prints_what_it_says(name, reader):
    text = inspect.getdoc(EXAMPLES[name]) or ""
    _, found, example = text.partition("\nExamples\n--------\n>>> ")
    assert found and f"dko.{name}(" in example
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(doctest.DocTestParser().get_doctest(f">>> {example}", dict(IMPORTED), name, None, 0), out=said.append)
    assert not said, "".join(said)
    assert bool(plt.get_fignums()) == any(f">>> {package}.pl." in example for package in ("dko", "sc"))
