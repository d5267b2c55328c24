from __future__ import annotations

from scipy import sparse

from dko._compat import layer_names, stored


def test_x_is_no_layer(cells):
    cells.layers["a"] = cells.X
    assert layer_names(cells) == ["a"]


def test_x_is_no_layer_where_anndata_says_so():
    class Newer:
        layers = (None, "a")

    assert layer_names(Newer()) == ["a"]


def test_stored_matrices_are_of_the_class_that_scanpy_takes():
    assert isinstance(stored(sparse.csc_array([[0, 1.0]])), sparse.csr_matrix)
