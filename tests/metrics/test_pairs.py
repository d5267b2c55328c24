from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.metrics._pairs import between, own

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 6, 25)) + 100
A[RNG.random(A.shape) < 0.1] = np.nan
B[RNG.random(B.shape) < 0.1] = np.nan
B[5] = 7.0


def test_equals_a_loop():
    found, found_own = between(A, B), own(A, B)
    for i in range(6):
        for j in range(6):
            assert found[i, j] == pytest.approx(dko.metrics.correlation(A[i], B[j]))
            kept = np.isfinite(B[j])
            assert found_own[i, j] == pytest.approx(dko.metrics.correlation(A[i][kept], B[i][kept]))
