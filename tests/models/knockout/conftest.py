"""Random maps and cells, and the naive formula in float64 that everything fast is held against."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.dko import reference as naive
from dko.models.knockout import AffineMap, FactorMap, engine, torch_engine

BOTH = (naive.impact, naive.downstream)


@pytest.fixture(scope="session", params=["compiled", "torch", pytest.param("cuda", marks=pytest.mark.gpu)])
def machine(request):
    """The same functions, compiled and in torch."""
    torch = pytest.importorskip("torch")
    if request.param == "compiled":
        return engine(torch.device("cpu"))
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch_engine(torch.device("cuda" if request.param == "cuda" else "cpu"))


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
def naive_scan(layers_from):
    """Every knockout by one forward pass before and one after, in the order of ``presence.data``.

    Impacts and downstream impacts, two rows.
    """

    def scan(affine, presence, *, wanted=None, dose=1.0):
        layers = layers_from(affine)
        found = [
            [measure(layers, row, [gene], dose) if wanted is None or wanted[gene] else np.nan for measure in BOTH]
            for row in presence.toarray()
            for gene in np.flatnonzero(row).tolist()
        ]
        return np.array(found).reshape(-1, 2).T

    return scan


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
