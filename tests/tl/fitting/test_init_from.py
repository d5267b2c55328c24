from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.knockout import AffineMap
from dko.tl.fitting._init_from import initial_maps


def test_nothing_to_start_from(fitted):
    assert initial_maps(fitted, None, ["gene_2"], [""]) == {}


def test_maps_are_on_the_genes_of_the_new_fit(grouped):
    maps = initial_maps(grouped, "dko", ["gene_5", "HSPA1A/B"], ["CD4/CD8 T"])
    assert list(maps) == ["CD4/CD8 T"]
    whole, start = grouped.uns["dko"]["weights"], maps["CD4/CD8 T"]
    assert isinstance(start, AffineMap)
    np.testing.assert_array_equal(start.influence, whole["influence"][1][np.ix_([5, 0], [5, 0])])
    np.testing.assert_array_equal(start.intercept, whole["intercept"][1][[5, 0]])


def test_neither_a_key_nor_a_file(fitted):
    with pytest.raises(FileNotFoundError, match="init_from='nowhere' is neither a key of adata.uns nor a file"):
        initial_maps(fitted, "nowhere", ["gene_2"], [""])


@pytest.mark.parametrize(
    ("there", "here", "remedy"),
    [(None, 4, "holds a full map; leave out rank=..."), (4, None, "a map of rank 4; fit with rank=4")],
)
def test_a_start_of_another_rank(cells, there, here, remedy):
    dko.tl.fit(cells, rank=there, max_steps=2, progress=False)
    with pytest.raises(ValueError, match=f"init_from='dko' .*{remedy}"):
        initial_maps(cells, "dko", ["gene_2"], [""], here)
