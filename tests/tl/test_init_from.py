from __future__ import annotations

import numpy as np
import pytest

from dko.tl._init_from import initial_maps


def test_nothing_to_start_from(fitted):
    assert initial_maps(fitted, None, ["gene_2"], [""]) == {}


def test_maps_are_on_the_genes_of_the_new_fit(grouped):
    maps = initial_maps(grouped, "dko", ["gene_5", "HSPA1A/B"], ["CD4/CD8 T"])
    assert list(maps) == ["CD4/CD8 T"]
    whole = grouped.uns["dko"]["weights"]
    np.testing.assert_array_equal(maps["CD4/CD8 T"].influence, whole["influence"][1][np.ix_([5, 0], [5, 0])])
    np.testing.assert_array_equal(maps["CD4/CD8 T"].intercept, whole["intercept"][1][[5, 0]])


def test_neither_a_key_nor_a_file(fitted):
    with pytest.raises(FileNotFoundError, match="init_from='nowhere' is neither a key of adata.uns nor a file"):
        initial_maps(fitted, "nowhere", ["gene_2"], [""])
