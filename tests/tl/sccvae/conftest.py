"""A small simulated screen, and what tests of its fits share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dko

SMALL: dict[str, Any] = {
    "model": "sccvae",
    "perturbation_key": "perturbation",
    "control": "control",
    "n_latent": 8,
    "hidden": (16, 16),
    "code_hidden": (8,),
    "groups": 4,
    "batch_size": 32,
    "n_members": 1,
    "max_steps": 6,
    "progress": False,
}


def fit(adata, **changed):
    dko.tl.fit(adata, **SMALL | changed)
    return adata.uns["dko"]


def same_weights(a, b, tolerance=0.0):
    assert set(a["weights"]) == set(b["weights"])
    for name, array in a["weights"].items():
        np.testing.assert_allclose(b["weights"][name], array, atol=tolerance, rtol=0, err_msg=name)


def effects_of(adata, genes):
    """Mean change of control cells per gene that is perturbed: genes x genes."""
    return dko.get.effects(adata, list(genes)).X


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
