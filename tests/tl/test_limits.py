"""Numbers at their limits: impacts that are whole, and genes whose level varies by their presence alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

import dko


def test_no_impact_exceeds_1():
    """Without gene 0, which stands for nothing but the genes 2 to 10, profiles are of the genes 11 to 19 alone."""
    rng = np.random.default_rng(0)
    cells = AnnData(
        (rng.random((400, 20)) < 0.6).astype(np.float32), var=pd.DataFrame(index=[f"g{i}" for i in range(20)])
    )
    cells.X[:, [0, 1, 2, 19]] = 1
    dko.tl.fit(cells, max_steps=1, effects="direct", progress=False)
    influence = np.zeros((1, 20, 20), dtype=np.float32)
    influence[0, 2:11, 0] = rng.random(9)
    influence[0, 11:, 1] = rng.random(9)
    influence[0, 11:, 0] = -influence[0, 11:, 1]
    cells.uns["dko"]["weights"] = {"influence": influence, "intercept": np.zeros((1, 20), dtype=np.float32)}
    dko.tl.scan(cells)
    dko.tl.virtual_ko(cells, ["g0", ("g0", "g2")], profiles=False)
    singles = [cells.layers[f"dko_{name}"][:, [0]].toarray().ravel() for name in ("impact", "downstream")]
    named = [cells.obsm[f"dko_{name}"].to_numpy().ravel() for name in ("impact", "downstream")]
    for impacts in (*singles, *named):
        assert impacts.max() == 1 and impacts.min() > 1 - 1e-6


def test_a_gene_that_is_always_expressed_alike_where_it_is_has_effects():
    rng = np.random.default_rng(0)
    has = rng.random(200) < 0.5
    follows, others = rng.poisson(20 + 20 * has), rng.poisson(20, size=(200, 4))
    rest = np.column_stack([follows, others])
    level = np.where(has, 0.1, 0.0)  # of each profile
    shares = np.column_stack([level, (1 - level)[:, None] * rest / rest.sum(axis=1, keepdims=True)])
    cells = AnnData(shares.astype(np.float32) * 1e4)
    dko.tl.fit(cells, max_steps=1, effects="total", log1p=False, progress=False)
    assert dko.get.effects(cells, "0").to_df().loc["0", "1"] < -0.05
