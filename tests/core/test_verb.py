"""What every public function does with its keywords."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import tqdm.auto

import dko

VERBS = {
    f"{part}.{name}": getattr(getattr(dko, part), name)
    for part in ("tl", "get", "pl", "pp", "io", "metrics", "datasets")
    for name in getattr(dko, part).__all__
}
# Not: results are only read, or sets of genes are scored in less time than a bar takes to appear.
LONG = [name for name in VERBS if name.startswith("tl.") and name != "tl.enrichment"]
LONG += ["get.effects", "datasets.grn_impact"]


@pytest.mark.parametrize("name", VERBS)
def test_a_keyword_that_is_not_there_is_refused_by_its_name(name):
    function: Any = VERBS[name]
    parameters = inspect.signature(function).parameters
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()) and name != "tl.fit":
        pytest.skip("other keywords go to matplotlib")
    first = [None] * bool(parameters)
    with pytest.raises(TypeError, match=rf"dko\.{name} takes no qqqq=...; it takes "):
        function(*first, qqqq=1)
    if not parameters:
        return
    longest = max(parameters, key=len)
    with pytest.raises(TypeError, match=rf"takes no {longest}x=...; did you mean .*{longest}"):
        function(*first, **{f"{longest}x": 1})


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
        VERBS[name](cells, **{given: 1})


def test_long_calls_take_progress():
    taken = [name for name, function in VERBS.items() if "progress" in inspect.signature(function).parameters]
    assert sorted(taken) == sorted(LONG) == sorted({*CALLS, "datasets.grn_impact"}), "each is tried below"
    assert all(inspect.signature(VERBS[name]).parameters["progress"].default is True for name in LONG)


CALLS: dict[str, Any] = {
    "tl.affected_genes": {"gene": "gene_2"},
    "tl.cluster_impact": {"key": "dko", "key_added": "other"},
    "tl.dose_response": {"genes": "gene_2", "doses": [0, 1]},
    "tl.double_ko": {"n_samples": 10},
    "tl.evaluate": {"perturbation_key": "knockout", "control": "control", "n_bootstrap": 5, "n_splits": 2},
    "tl.fit": {"max_epochs": 1, "effects": "direct", "key_added": "other"},
    "tl.identity_shift": {"genes": "gene_2", "groupby": "cell_type", "n_neighbors": 5},
    "tl.interactions": {"genes": ["gene_2", "gene_3"], "n_permutations": 10},
    "tl.perturbation_modules": {"alpha": 0.5, "n_null": 5},
    "tl.rank_genes": {"n_bootstraps": 2},
    "tl.scan": {},
    "tl.virtual_ko": {"genes": "gene_2"},
    "get.effects": {"genes": "gene_2"},
}


@pytest.mark.parametrize("name", CALLS)
def test_bars_only_where_they_are_wanted(name, fitted, monkeypatch):
    hidden = []

    class Recorded(tqdm.auto.tqdm):
        def __init__(self, *args: Any, **how: Any):
            hidden.append(how.pop("disable"))
            super().__init__(*args, **how, disable=True)

    fitted.obs["knockout"] = ["control"] * 50 + ["gene_3"] * 15 + ["gene_4"] * 15
    dko.tl.scan(fitted)
    monkeypatch.setattr(tqdm.auto, "tqdm", Recorded)
    VERBS[name](fitted, **CALLS[name], progress=False)
    assert all(hidden)
    hidden.clear()
    VERBS[name](fitted, **CALLS[name])
    assert not all(hidden)
