from __future__ import annotations

import numpy as np
import pytest

from dko.models.knockout import AffineMap, LowRankMap, map_of

RNG = np.random.default_rng(0)
OUTGOING, INCOMING = RNG.normal(size=(7, 2)).astype(np.float32), RNG.normal(size=(2, 7)).astype(np.float32)
INTERCEPT = RNG.normal(size=7).astype(np.float32)
LOW = LowRankMap(OUTGOING, INCOMING, INTERCEPT)
WHOLE = AffineMap(OUTGOING @ INCOMING, INTERCEPT)


def test_column_g_is_what_gene_g_adds():
    affine = AffineMap(np.array([[1, 2], [3, 4]], dtype=np.float32), np.zeros(2, dtype=np.float32))
    assert affine.columns(np.array([1])).tolist() == [[2, 4]]
    assert affine.rows(np.array([1])).tolist() == [[3, 4]]
    assert affine.diagonal.tolist() == [1, 4]


@pytest.mark.parametrize("genes", [[], [3], [6, 0, 2]])
def test_low_rank_is_the_product(genes):
    genes = np.array(genes, dtype=int)
    for low, whole in [(LOW, WHOLE), (LOW.subset(genes), WHOLE.subset(genes))]:
        assert low.n_genes == whole.n_genes
        assert low.rank == 2
        np.testing.assert_allclose(low.diagonal, whole.diagonal, atol=1e-6)
        np.testing.assert_array_equal(low.intercept, whole.intercept)
        among = np.arange(low.n_genes)
        np.testing.assert_allclose(low.rows(among), whole.rows(among), atol=1e-6)
    for name in ("rows", "columns"):
        low, whole = getattr(LOW, name)(genes), getattr(WHOLE, name)(genes)
        assert low.dtype == whole.dtype == np.float32 and low.shape == (len(genes), 7)
        np.testing.assert_allclose(low, whole, atol=1e-6)


@pytest.mark.parametrize("affine", [LOW, WHOLE], ids=["low rank", "whole"])
def test_from_its_arrays(affine):
    again = map_of(affine.arrays)
    assert type(again) is type(affine)
    for name, array in affine.arrays.items():
        assert again.arrays[name] is array


def test_arrays_of_another_byte_order():
    foreign = {name: array.astype(">f4") for name, array in WHOLE.arrays.items()}
    again = map_of(foreign)
    assert again.intercept.dtype.isnative
    np.testing.assert_array_equal(again.rows(np.arange(7)), WHOLE.influence)
