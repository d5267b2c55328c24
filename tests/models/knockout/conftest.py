"""Random maps and cells, and the naive formula in float64 that everything fast is held against."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.assemblage import _reference as naive
from dko.models.knockout import AffineMap


@pytest.fixture(scope="session")
def make_map():
    """Map whose raw outputs have both signs, and the same size whatever A z is divided by, as a function."""

    def make(n_genes, rng, link="abs", scale=1.0, divisor=0.0):
        size = scale * np.sqrt(n_genes) * (divisor / n_genes or 1)
        influence = rng.normal(scale=size, size=(n_genes, n_genes)).astype(np.float32)
        return AffineMap(influence, rng.normal(scale=scale, size=n_genes).astype(np.float32), link, divisor)

    return make


@pytest.fixture(scope="session")
def make_presence():
    """Cells x genes, the first cells with 0, 1 and 2 genes, as a function."""

    def make(n_cells, n_genes, share, rng):
        rows = (rng.random((n_cells, n_genes)) < share).astype(np.float32)
        for cell in range(min(3, n_cells)):
            rows[cell] = 0
            rows[cell, rng.permutation(n_genes)[:cell]] = 1
        return sparse.csr_matrix(rows)

    return make


@pytest.fixture(scope="session")
def layers_from():
    """Layers of the naive formula from a map, as a function."""

    def layers(affine):
        n = affine.n_genes
        influence, intercept = affine.influence.astype(float), affine.intercept.astype(float)
        return naive.Layers(influence, np.zeros(n), sparse.eye_array(n), intercept, affine.link, affine.divisor)

    return layers


@pytest.fixture(scope="session")
def dense_weights():
    """What the outputs of each cell are multiplied by, cells x genes, from one number per present gene."""

    def weights(presence, residual):
        if residual is None:
            return np.ones(presence.shape)
        return sparse.csr_matrix((residual.astype(float), presence.indices, presence.indptr), presence.shape).toarray()

    return weights


@pytest.fixture(scope="session")
def naive_scan(layers_from, dense_weights):
    """Every knockout by one forward pass before and one after, in the order of ``presence.data``."""

    def scan(affine, presence, *, wanted=None, residual=None, dose=1.0):
        layers, weights = layers_from(affine), dense_weights(presence, residual)
        return np.array(
            [
                naive.impact(layers, row, [gene], dose, weights[cell]) if wanted is None or wanted[gene] else np.nan
                for cell, row in enumerate(presence.toarray())
                for gene in np.flatnonzero(row).tolist()
            ]
        )

    return scan
