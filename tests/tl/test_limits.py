"""Numbers at their limits: impacts that are whole, and genes whose level varies by their presence alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
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


def test_min_cells_is_the_fewest_that_are_kept(fitted):
    """What just so many cells express is kept; with one more it is left out, or refused where nothing is left."""
    dko.tl.scan(fitted)
    n_cells = dko.get.ranking(fitted, min_cells=1).set_index("gene")["n_cells"].sort_values()
    rare, other, least = str(n_cells.index[0]), str(n_cells.index[-1]), int(n_cells.iloc[0])
    dko.tl.rank_genes(fitted, n_bootstraps=2, min_cells=1)
    whole = fitted.copy()
    for more in (0, 1):
        kept = set(n_cells.index[n_cells >= least + more])
        assert (rare in kept) == (not more) == (rare in set(dko.get.ranking(whole, min_cells=least + more)["gene"]))
        dko.tl.rank_genes(fitted, n_bootstraps=2, min_cells=least + more)
        assert set(dko.get.ranking(fitted)["gene"]) == kept
        dko.tl.cluster_impact(fitted, n_neighbors=5, min_cells=least + more)
        assert fitted.uns["dko_cluster"]["params"]["n_knockouts"] == len(kept)
    both = int((fitted[:, [rare, other]].X.toarray() > 0).all(axis=1).sum())
    dko.tl.affected_genes(fitted, rare, min_cells=least)
    dko.tl.interactions(fitted, [rare, other], n_permutations=10, min_cells=both)
    with pytest.raises(ValueError, match=f"Fewer than min_cells={least + 1} cells .* express {rare!r}"):
        dko.tl.affected_genes(fitted, rare, min_cells=least + 1)
    with pytest.raises(ValueError, match=f"is expressed by {both + 1} cells"):
        dko.tl.interactions(fitted, [rare, other], n_permutations=10, min_cells=both + 1)
