from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.tl._cell_shifts import Types, space_of


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return sparse.random(60, 15, density=0.5, random_state=rng, format="csr", dtype=np.float32)


def test_components_are_those_of_the_dense_matrix(values):
    space = space_of(values, 4, 0)
    centred = values.toarray().astype(float) - values.toarray().mean(axis=0)
    _, singular, right = np.linalg.svd(centred)
    assert space.components.shape == (15, 4) and space.positions.shape == (60, 4)
    np.testing.assert_allclose(np.abs(np.sum(space.components * right[:4].T, axis=0)), 1, rtol=1e-4)
    np.testing.assert_allclose(space.positions, centred @ space.components, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(space.positions, axis=0), singular[:4], rtol=1e-4)


def test_no_more_components_than_there_are(values):
    assert space_of(values, 100, 0).components.shape == (15, 14)
    assert space_of(values[:5], 100, 0).components.shape == (15, 4)


def test_change_of_similarity_is_that_of_the_cosine_with_the_centre(values):
    space = space_of(values, 4, 0)
    groups = np.array(["b", "a/c", None] * 20, dtype=object)
    types = Types(space, groups, "kind")
    assert types.names == ["a/c", "b"]
    rows, shifts = np.array([3, 50]), np.random.default_rng(1).normal(size=(2, 4))
    found = types.change(rows, shifts)
    assert found.dtype == np.float32
    for line, row in enumerate(rows):
        for column, name in enumerate(types.names):
            centre = space.positions[groups == name].mean(axis=0)
            before, after = space.positions[row], space.positions[row] + shifts[line]
            cosine = [x @ centre / np.linalg.norm(x) / np.linalg.norm(centre) for x in (before, after)]
            assert found[line, column] == pytest.approx(cosine[1] - cosine[0], abs=1e-5)
    assert (types.change(rows, np.zeros((2, 4))) == 0).all()


def test_no_type_at_all(values):
    with pytest.raises(ValueError, match=r"No cell has a value in obs\['kind'\]"):
        Types(space_of(values, 4, 0), np.array([None] * 60, dtype=object), "kind")
