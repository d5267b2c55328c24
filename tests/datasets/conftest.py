"""The equation of the simulator written out term by term as the oracle, and simulated cells shared by the tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dko.datasets import grn, grn_types


@pytest.fixture(scope="session")
def cells():
    """60 cells with 20 genes, production that differs between cells, no noise; nobody writes to them."""
    return grn(60, 20, density=0.5, share_present=(0.5, 0.9), heterogeneity=0.5, rng=1)


def integrate(presence, network, *, production=None, decay=1.0, start=None, until=400.0):
    """Follow one cell from `start` (1 for every present gene by default) for a long time."""
    n_genes = len(presence)
    production = np.ones(n_genes) if production is None else production
    present = np.flatnonzero(presence)

    def slope(_, x):
        change = np.zeros(n_genes)
        for j in present:
            for i in present:
                if network[i, j] > 0:
                    change[j] += network[i, j] * x[i] / (1 + x[i])
                elif network[i, j] < 0:
                    change[j] += -network[i, j] / (1 + x[i])
            change[j] = production[j] * change[j] - decay * x[j]
        return change

    x0 = np.where(presence, 1.0 if start is None else start, 0.0)
    solution = solve_ivp(slope, (0, until), x0, method="LSODA", rtol=1e-9, atol=1e-12)
    assert solution.success
    return solution.y[:, -1]


@pytest.fixture(scope="session")
def typed():
    """90 cells of three types, 25 genes; nobody writes to them."""
    return grn_types(90, 25, n_types=3, n_masters=3, regulating_share=0.5, depth=300, rng=1)
