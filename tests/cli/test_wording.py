"""Users of the command line read of options and commands where a verb speaks of keywords and calls."""

from __future__ import annotations

import pytest

from dko.cli._main import in_options


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ("--layer=x", "One of use_raw=True and layer='x', not both.", "One of use_raw=True and --layer 'x', not both."),
        ("--learning-rate -0.5", "learning_rate=-0.5 must be above 0.", "--learning-rate -0.5 must be above 0."),
        ("--control a", "control='a' needs perturbation_key=....", "--control 'a' needs --perturbation-key."),
        ("--rate 1", "learning_rate=-0.5 must be above 0.", "learning_rate=-0.5 must be above 0."),
        ("a.h5ad", "run dko.tl.scan(adata, key='mine') first.", "run `dko scan` first."),
        ("a.h5ad", "run dko.tl.cluster_impact(adata) first", "run cluster_impact in Python first"),
    ],
)
def test_sentences(words, text, said):
    assert in_options(text, words.split()) == said
