"""Random maps and cells, and the naive formula in float64 that everything fast is held against."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from dko.models.knockout import AffineMap, FactorMap

from ... import paper as naive


def make_map(n_genes, rng, scale=1.0, rank=None):
    """Map whose raw outputs have both signs; in two factors with a `rank`."""
    intercept = rng.normal(scale=scale, size=n_genes).astype(np.float32)
    shapes = [(n_genes, n_genes)] if rank is None else [(rank, n_genes), (n_genes, rank)]
    influence, *outgoing = (rng.normal(scale=scale * np.sqrt(n_genes), size=shape) for shape in shapes)
    return AffineMap(influence.astype(np.float32), intercept, *(one.astype(np.float32) for one in outgoing))


def make_presence(n_cells, n_genes, share, rng):
    """Cells x genes, the first cells with 0, 1 and 2 genes."""
    rows = (rng.random((n_cells, n_genes)) < share).astype(np.float32)
    for cell in range(min(3, n_cells)):
        rows[cell] = 0
        rows[cell, rng.permutation(n_genes)[:cell]] = 1
    return sparse.csr_matrix(rows)


def make_factors(n_genes, rng, scale=1.0):
    """Map of factors of genes that are correlated in blocks."""
    influence = rng.normal(scale=scale, size=(n_genes, n_genes)) + rng.normal(scale=scale, size=n_genes)
    np.fill_diagonal(influence, 0)
    levels = rng.normal(size=(50, n_genes)) + 2 * rng.normal(size=(50, 1))
    correlation = np.corrcoef(levels, rowvar=False).reshape(n_genes, n_genes).astype(np.float16)
    return FactorMap(influence.astype(np.float32), correlation, rng.uniform(0.5, 3, n_genes).astype(np.float32))


def make_cells(kind, n_cells, n_genes, share, rng, scale=1.0):
    """Map and cells of a kind, "affine", "low rank" or "factors": of these, one cell is nearly all one gene."""
    presence = make_presence(n_cells, n_genes, share, rng)
    if kind != "factors":
        return make_map(n_genes, rng, rank=3 if kind == "low rank" else None), presence
    levels = presence.toarray() * (rng.gamma(0.5, size=presence.shape) + 1e-6)
    levels[-1, 0] = 1e5
    levels /= np.maximum(levels.sum(axis=1, keepdims=True), 1e-30)
    return make_factors(n_genes, rng, scale), sparse.csr_matrix(levels.astype(np.float32))


def layers_from(affine):
    """Layers of the naive formula from a map."""
    n = affine.n_genes
    influence = affine.influence if affine.outgoing is None else affine.outgoing.astype(float) @ affine.influence
    return naive.Layers(influence.astype(float), np.zeros(n), sparse.eye_array(n), affine.intercept.astype(float))


def naive_knock_out(any_map, row, genes, dose=1.0):
    """Profile after a knockout of one dense cell, impact and downstream impact."""
    if isinstance(any_map, FactorMap):
        return _by_factors(any_map, row, genes, dose)
    layers = layers_from(any_map)
    after = naive.profile(layers, naive.knocked_out(row, genes, dose))
    return after, naive.impact(layers, row, genes, dose), naive.downstream(layers, row, genes, dose)


def _by_factors(factors, profile, genes, dose):
    genes = [gene for gene in genes if profile[gene] > 0]
    before = profile.astype(float) / max(profile.sum(dtype=float), 1e-300)
    weights = np.ones(len(genes))
    if len(genes) > 1:
        together = factors.correlation[np.ix_(genes, genes)].astype(float) / 1.1
        np.fill_diagonal(together, 1)
        weights = np.linalg.inv(together) @ factors.step[genes] / factors.step[genes]
    logs = factors.influence[:, genes].astype(float).clip(-30, 30) @ weights
    after = before * np.exp(-dose * logs.clip(-30, 30))
    after[genes] = (1 - dose) * before[genes]
    after = after / total if (total := after.sum()) > 0 else after
    return after, naive.bray_curtis(before, after), naive.others_apart(before, after, genes)


def naive_scan(any_map, cells, *, wanted=None):
    """Impacts and downstream impacts of every gene of every cell, one after the other: two rows."""
    found = [
        naive_knock_out(any_map, row, [gene])[1:] if wanted is None or wanted[gene] else (np.nan, np.nan)
        for row in cells.toarray()
        for gene in np.flatnonzero(row).tolist()
    ]
    return np.reshape(found, (-1, 2)).T


def naive_change(any_map, row, genes, without):
    """Change of log1p(1e4 profile) by a knockout, some genes taken out of both."""
    logs = []
    for removed in (list[int](), genes):
        rest = naive_knock_out(any_map, row, removed)[0]
        rest[without] = 0
        logs.append(np.log1p(1e4 * rest / (rest.sum() or 1)))
    return logs[1] - logs[0]
