"""Random maps and cells, and the naive formula in float64 that everything fast is held against."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.dko import reference as naive
from dko.models.knockout import AffineMap, FactorMap


@pytest.fixture(scope="session")
def make_map():
    """Map whose raw outputs have both signs, as a function."""

    def make(n_genes, rng, scale=1.0):
        influence = rng.normal(scale=scale * np.sqrt(n_genes), size=(n_genes, n_genes)).astype(np.float32)
        return AffineMap(influence, rng.normal(scale=scale, size=n_genes).astype(np.float32))

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
        return naive.Layers(influence, np.zeros(n), sparse.eye_array(n), intercept)

    return layers


@pytest.fixture(scope="session")
def make_factors():
    """Map of factors of genes that are correlated in blocks, as a function."""

    def make(n_genes, rng, scale=1.0):
        influence = rng.normal(scale=scale, size=(n_genes, n_genes)) + rng.normal(scale=scale, size=n_genes)
        np.fill_diagonal(influence, 0)
        levels = rng.normal(size=(50, n_genes)) + 2 * rng.normal(size=(50, 1))
        correlation = np.corrcoef(levels, rowvar=False).reshape(n_genes, n_genes).astype(np.float16)
        return FactorMap(influence.astype(np.float32), correlation, rng.uniform(0.5, 3, n_genes).astype(np.float32))

    return make


@pytest.fixture(scope="session")
def make_profiles(make_presence):
    """Observed profiles of cells, the first with 0, 1 and 2 genes, and one that is nearly all one gene."""

    def make(n_cells, n_genes, share, rng):
        presence = make_presence(n_cells, n_genes, share, rng).toarray()
        levels = presence * rng.gamma(0.5, size=presence.shape) + 1e-6 * presence
        levels[-1, 0] = 1e5
        levels /= np.maximum(levels.sum(axis=1, keepdims=True), 1e-30)
        return sparse.csr_matrix(levels.astype(np.float32))

    return make


@pytest.fixture(scope="session")
def naive_factors():
    """Profile after a knockout of genes, impact and downstream impact, of one dense profile, as a function."""

    def knock_out(factors, profile, genes, dose=1.0):
        genes = [gene for gene in genes if profile[gene] > 0]
        before = profile.astype(float) / max(profile.sum(dtype=float), 1e-300)
        weights = np.ones(len(genes))
        if len(genes) > 1 and factors.correlation is not None:
            together = factors.correlation[np.ix_(genes, genes)].astype(float) / 1.1
            np.fill_diagonal(together, 1)
            weights = np.linalg.inv(together) @ factors.step[genes] / factors.step[genes]
        logs = factors.influence[:, genes].astype(float).clip(-30, 30) @ weights
        after = before * np.exp(-dose * logs.clip(-30, 30))
        after[genes] = (1 - dose) * before[genes]
        after = after / total if (total := after.sum()) > 0 else after
        return after, naive.bray_curtis(before, after), naive.others_apart(before, after, genes)

    return knock_out


@pytest.fixture(scope="session")
def make_cells(make_map, make_presence, make_factors, make_profiles):
    """Map and cells of a kind, "affine" or "factors", as a function."""

    def make(kind, n_cells, n_genes, share, rng, scale=1.0):
        if kind == "affine":
            return make_map(n_genes, rng), make_presence(n_cells, n_genes, share, rng)
        return make_factors(n_genes, rng, scale), make_profiles(n_cells, n_genes, share, rng)

    return make


@pytest.fixture(scope="session")
def naive_knock_out(layers_from, naive_factors):
    """Profile after a knockout, impact and downstream impact, by the formula of any map, as a function."""

    def knock_out(any_map, row, genes, dose=1.0):
        if isinstance(any_map, FactorMap):
            return naive_factors(any_map, row, genes, dose)
        layers = layers_from(any_map)
        after = naive.profile(layers, naive.knocked_out(row, genes, dose))
        return after, naive.impact(layers, row, genes, dose), naive.downstream(layers, row, genes, dose)

    return knock_out


@pytest.fixture(scope="session")
def naive_scan(naive_knock_out):
    """Impacts and downstream impacts of every gene of every cell, one after the other, as a function: two rows."""

    def scan(any_map, cells, *, wanted=None, dose=1.0):
        found = [
            naive_knock_out(any_map, row, [gene], dose)[1:] if wanted is None or wanted[gene] else (np.nan, np.nan)
            for row in cells.toarray()
            for gene in np.flatnonzero(row).tolist()
        ]
        return np.reshape(found, (-1, 2)).T

    return scan


@pytest.fixture(scope="session")
def naive_change(naive_knock_out):
    """Change of log1p(1e4 profile) by a knockout, some genes taken out of both, as a function."""

    def change(any_map, row, genes, without):
        logs = []
        for removed in (list[int](), genes):
            rest = naive_knock_out(any_map, row, removed)[0]
            rest[without] = 0
            logs.append(np.log1p(1e4 * rest / (rest.sum() or 1)))
        return logs[1] - logs[0]

    return change
