"""What every public function does with its arguments: keywords, junk, bars."""

from __future__ import annotations

import inspect
import itertools
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tqdm.auto

import dko
from dko.models import model_class

from .conftest import CALLS, FUNCTIONS, SCREEN, TOOLS, call

JUNK: dict[str, Any] = {
    "None": None,
    "nan": np.nan,
    "inf": np.inf,
    "-1": -1,
    "0": 0,
    "half": 0.5,
    "huge": 10**18,
    "word": "x",
    "no word": "",
    "list": [],
    "object": object(),
    "dict": {},
    "bytes": b"x",
    "array": np.zeros(3),
    "lines": "a\nb",
}
# What may be given for a parameter of an annotation.
FITS = {
    "int": {"-1", "0", "huge"},
    "float": {"-1", "0", "half", "huge"},
    "bool": set(),
    "str": {"word", "no word", "lines"},
    "Path": set(),
    "None": {"None"},
    "RNG": {"None", "0", "huge"},
}
PLACES = ("obs", "var", "uns", "obsm", "varm", "layers")


def parameters_of(name):
    """Names of parameters, and the kinds of values that their annotations allow."""
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.kind != parameter.VAR_KEYWORD:
            yield parameter.name, set(str(parameter.annotation).split(" | "))


def fitting(kinds):
    """Junk that is a value of one of these kinds; none where the values of a kind are not listed."""
    return set().union(*(FITS[kind] for kind in kinds)) if kinds <= set(FITS) else set(JUNK)


def entries(adata):
    return [list(getattr(adata, place)) for place in PLACES]


def said(error):
    """Whether an exception is a sentence of this package."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    message = str(error.args[0]) if error.args else ""
    ours = Path(dko.__file__).parent in Path(last).parents
    return ours and message and "\n" not in message and message.endswith((".", "?")) and len(message) < 1_000


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_of_another_kind_are_refused(name, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = entries(fitted)
    needed = {
        one.name: "x" if "str" in str(one.annotation) else 1
        for one in inspect.signature(FUNCTIONS[name]).parameters.values()
        if one.default is one.empty and one.kind != one.VAR_KEYWORD
    }
    if "adata" in needed:
        needed["adata"] = fitted
    for parameter, kinds in parameters_of(name):
        for junk in sorted(set(JUNK) - fitting(kinds)):
            with pytest.raises((TypeError, ValueError), match=f"^{parameter}=.* must be ") as raised:
                FUNCTIONS[name](**{**needed, parameter: JUNK[junk]})
            assert said(raised.value)
    assert entries(fitted) == before and not list(tmp_path.iterdir())


KEYWORDS = model_class("sccvae").presets[None][0].options()


@pytest.mark.parametrize("name", KEYWORDS)
def test_junk_for_the_keywords_of_the_second_model(name, screen, unchanged):
    fits = set().union(*(FITS.get(kind, set()) for kind in KEYWORDS[name].split(" | ")))
    fits |= {"list", "dict", "array"} if name in ("holdout", "code_hidden") else set()
    with unchanged(screen):
        for junk in sorted(set(JUNK) - fits):
            with pytest.raises((TypeError, ValueError, KeyError)) as raised:
                dko.tl.fit(screen, model="sccvae", **SCREEN, **{"normalize": True, name: JUNK[junk]})
            assert said(raised.value), junk


ON_CELLS = [name for name, of in FUNCTIONS.items() if "adata" in inspect.signature(of).parameters]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ON_CELLS if not name.startswith("datasets")])
def test_junk_gives_a_sentence_or_a_result(name, finished, tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    if name.endswith("enrichment"):
        pytest.importorskip("decoupler")
    monkeypatch.chdir(tmp_path)
    dko.io.save(finished, "model.npz")
    failed = []
    for (parameter, kinds), junk in itertools.product(parameters_of(name), JUNK):
        if parameter == "adata" and junk != "None":
            continue
        adata, before = finished.copy(), entries(finished)
        try:
            FUNCTIONS[name](**{"adata": adata, **CALLS.get(name, {}), parameter: JUNK[junk]})
            if junk not in fitting(kinds):
                failed.append(f"{parameter}={junk} was taken")
        except (TypeError, ValueError, KeyError, FileNotFoundError, IsADirectoryError) as error:
            if not said(error):
                failed.append(f"{parameter}={junk}: {type(error).__name__}: {error}"[:300])
            elif entries(adata) != before:
                failed.append(f"{parameter}={junk} was refused, and something is there")
        except BaseException as error:  # noqa: BLE001
            failed.append(f"{parameter}={junk}: {type(error).__name__}: {error}"[:300])
        plt.close("all")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_keyword_that_is_not_there_is_refused_by_its_name(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()) and name != "tl.fit":
        pytest.skip("other keywords go to matplotlib")
    first = [None] * bool(parameters)
    with pytest.raises(TypeError, match=rf"dko\.{name} takes no qqqq=...; it takes "):
        FUNCTIONS[name](*first, qqqq=1)
    if parameters:
        longest = max(parameters, key=len)
        with pytest.raises(TypeError, match=rf"takes no {longest}x=...; did you mean .*{longest}"):
            FUNCTIONS[name](*first, **{f"{longest}x": 1})


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        *(("tl.fit", "lr", "learning_rate"), ("tl.fit", "key", "key_added"), ("tl.fit", "n_jobs", "set_num_threads")),
        *(("tl.fit", "n_latent", "only model='sccvae' does"), ("tl.scan", "genez", "genes")),
        *(("tl.virtual_ko", "seed", "rng"), ("get.impact", "modality", "mod"), ("pl.ranking", "save", "return_fig")),
    ],
)
def test_the_keyword_that_was_meant_is_named(name, given, meant, cells):
    with pytest.raises(TypeError, match=rf"takes no '?{given}.*{meant}"):
        FUNCTIONS[name](cells, **{given: 1})


# Sets of genes are scored in less time than a bar takes to appear, and most results are only read.
LONG = [*(name for name in TOOLS if name != "tl.enrichment"), "tl.plan", "get.effects"]


def test_long_calls_take_progress():
    signatures = {name: inspect.signature(function).parameters for name, function in FUNCTIONS.items()}
    taken = {name: of["progress"].default for name, of in signatures.items() if "progress" in of}
    assert set(taken) == {*LONG, "datasets.grn_impact"} and all(default is True for default in taken.values())


@pytest.mark.parametrize("name", LONG)
def test_bars_only_where_they_are_wanted(name, prepared, monkeypatch):
    hidden = []

    class Recorded(tqdm.auto.tqdm):
        def __init__(self, *args: Any, **how: Any):
            hidden.append(how.pop("disable"))
            super().__init__(*args, **how, disable=True)

    monkeypatch.setattr(tqdm.auto, "tqdm", Recorded)
    call(name, prepared, progress=False)
    assert all(hidden)
    hidden.clear()
    call(name, prepared)
    assert not all(hidden)
