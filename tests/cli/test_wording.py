"""Users of the command line read of options and commands where a verb speaks of keywords and calls."""

from __future__ import annotations

import pytest

from dko.cli._main import in_options


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("fit", "One of use_raw=True and layer='a b', not both.", "One of --use-raw and --layer 'a b', not both."),
        ("fit", "Say so with log1p=False.", "Say so with --no-log1p."),
        ("fit", "key_added='a/b' must be a name.", "--key 'a/b' must be a name."),
        ("fit", "learning_rate=-0.5 must be above 0.", "--learning-rate -0.5 must be above 0."),
        ("fit", "Leave out of genes=['A', 'B/C'] what is silent.", "Leave out of --genes A,B/C what is silent."),
        ("fit", "Fit with groupby=..., too.", "Fit with --groupby, too."),
        ("scan", "out='a.csv' must end in .zarr.", "--impacts 'a.csv' must end in .zarr."),
        ("rank", "run dko.tl.scan(adata, key='mine') first.", "run `dko scan` first."),
        ("report", "run dko.tl.cluster_impact(adata) first", "run cluster_impact in Python first"),
        ("ko", "n_jobs=2 and beta=0.1 are strange.", "n_jobs=2 and beta=0.1 are strange."),
        ("fit", "No layer 'rank=2' in `a layer=3` of the cell's \"rng=1\".", None),
        ("no command", "rank=2", None),
    ],
)
def test_sentences(command, text, said):
    assert in_options(text, command) == (text if said is None else said)
