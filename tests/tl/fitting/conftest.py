"""A small simulated screen."""

from __future__ import annotations

import pytest

import dko


@pytest.fixture(scope="session")
def _screen():
    return dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)


@pytest.fixture
def screen(_screen):
    """40 genes, six knocked down alone and one pair of them, 25 cells each, and 60 control cells; log-normalised."""
    return _screen.copy()


@pytest.fixture(scope="session")
def singles(_screen):
    """The single perturbations."""
    return [label for label in _screen.varm["effect"] if "+" not in label]
