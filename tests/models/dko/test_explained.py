from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.dko.total import explained


def example(noise, rng):
    """Profiles, and predictions of them; genes 0 and 2 are seen in nine and in ten cells, gene 1 never varies."""
    logs = rng.normal(size=(50, 6))
    predicted = logs + noise * rng.normal(size=logs.shape)
    seen = rng.random(logs.shape) < 0.7
    seen[:, 0], seen[:, 2] = np.arange(50) < 9, np.arange(50) < 10
    logs[:, 1] = 0.0
    profiles = sparse.csr_matrix(np.where(seen, np.exp(logs), 0).astype(np.float32))
    return profiles, np.exp(predicted)[seen]


def naive(profiles, predicted):
    whole = sparse.csr_matrix((predicted, profiles.indices, profiles.indptr), profiles.shape).toarray()
    shares = []
    for gene in range(profiles.shape[1]):
        rows = np.flatnonzero(profiles[:, [gene]].toarray())
        observed = np.log(profiles.toarray()[rows, gene].astype(float))
        if len(rows) >= 10 and observed.std() > 0:
            left = np.square(observed - np.log(whole[rows, gene])).sum()
            design = np.column_stack([np.ones(len(rows)), np.log(np.diff(profiles.indptr)[rows])])
            around = np.square(observed - design @ np.linalg.lstsq(design, observed)[0]).sum()
            shares.append(max(0, 1 - left / around))
    return np.mean(shares)


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_equals_the_naive_formula(noise):
    profiles, predicted = example(noise, np.random.default_rng(0))
    assert explained(profiles, predicted) == pytest.approx(naive(profiles, predicted), abs=1e-5)


def test_nothing_to_explain():
    profiles = sparse.csr_matrix(np.full((20, 3), 1 / 3, dtype=np.float32))
    assert np.isnan(explained(profiles, profiles.data))
    assert np.isnan(explained(profiles[:5], profiles[:5].data))
