from __future__ import annotations

import numpy as np
import pytest

import dko


def test_what_is_written(cells, quick):
    dko.tl.fit(cells, rank=3, **quick)
    stored = cells.uns["dko"]
    assert stored["params"]["rank"] == 3
    assert {name: (array.shape, array.dtype) for name, array in stored["weights"].items()} == {
        "outgoing": ((1, 20, 3), np.float32),
        "incoming": ((1, 3, 20), np.float32),
        "intercept": ((1, 20), np.float32),
    }
    validation = (cells.obs["dko_split"] == "validation").to_numpy()
    best = stored["history"]["validation_loss"].min()
    assert cells.obs["dko_fit_error"][validation].mean() == pytest.approx(best, abs=1e-5)


def test_one_map_per_group(cells, quick):
    dko.tl.fit(cells, rank=3, groupby="cell_type", **quick)
    assert cells.uns["dko"]["weights"]["outgoing"].shape == (2, 20, 3)


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (20, "rank=20 must be below the number of genes, 20; leave it out for the full map"),
        (0, "rank=0 must be a whole number above 0"),
        (2.5, "rank=2.5 must be a whole number or None"),
    ],
)
def test_ranks_that_cannot_be(rank, message, cells, quick, unchanged):
    with unchanged(cells), pytest.raises(ValueError, match=message):
        dko.tl.fit(cells, rank=rank, **quick)


def test_the_published_network_has_no_rank(cells, unchanged):
    with unchanged(cells), pytest.raises(ValueError, match="preset='paper' has layers as wide as there are genes"):
        dko.tl.fit(cells, preset="paper", rank=3, progress=False)


def test_the_default_width_is_not_stored_as_a_rank(fitted):
    assert "rank" not in fitted.uns["dko"]["params"]
