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
        ("tl.fit", "n_epochs", "max_epochs"),
        ("tl.fit", "lr", "learning_rate"),
        ("tl.fit", "random_state", "rng"),
        ("tl.fit", "verbose", "progress"),
        ("tl.fit", "key", "key_added"),
        ("tl.fit", "condition", "perturbation_key"),
        ("tl.fit", "n_jobs", "torch.set_num_threads"),
        ("tl.scan", "genez", "genes"),
        ("tl.scan", "inplace", "copy"),
        ("tl.virtual_ko", "seed", "rng"),
        ("tl.cluster_impact", "cluster_key", "groupby"),
        ("get.impact", "modality", "mod"),
        ("pl.ranking", "save", "return_fig"),
    ],
)
def test_the_keyword_that_was_meant_is_named(name, given, meant, cells):
    with pytest.raises(TypeError, match=rf"dko\.{name} takes no {given}=...; .*{meant}"):
        VERBS[name](cells, **{given: 1})


def test_keywords_of_the_other_model(cells):
    with pytest.raises(TypeError, match=r"model='dko' takes no 'n_latent'; only model='sccvae' does"):
        dko.tl.fit(cells, n_latent=3)
    with pytest.raises(TypeError, match=r"takes no n_latnet=...; did you mean n_latent"):
        dko.tl.fit(cells, model="sccvae", n_latnet=3)


def test_a_keyword_that_matplotlib_does_not_know(fitted):
    dko.tl.scan(fitted)
    with pytest.raises(TypeError, match=r"dko\.pl\.heatmap takes no n_gene=...; did you mean n_genes or genes"):
        dko.pl.heatmap(fitted, groupby="cell_type", n_gene=3)


@pytest.mark.parametrize("name", [name for name in VERBS if name.split(".")[0] in ("tl", "get", "pl", "pp")])
def test_more_values_without_a_keyword_than_there_are_places(name, cells):
    with pytest.raises(TypeError, match=rf"dko\.{name} takes adata.* without a keyword, and .*: dko\.{name}\(adata, "):
        VERBS[name](cells, "gene_2", "gene_3")


def test_an_argument_that_is_missing_is_named():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'adata'"):
        dko.tl.scan()  # type: ignore[call-arg]


def test_long_calls_take_progress():
    taken = [name for name, function in VERBS.items() if "progress" in inspect.signature(function).parameters]
    assert sorted(taken) == sorted(LONG)
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


def test_every_long_call_on_cells_is_tried():
    assert set(CALLS) == set(LONG) - {"datasets.grn_impact"}
