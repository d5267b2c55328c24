"""A small simulated Perturb-seq screen as the arrays that the model takes, and fits of a few steps."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

import dko
from dko.models.fitting import Schedule
from dko.models.sccvae.config import Config
from dko.models.sccvae.fit import fit
from dko.models.sccvae.sampler import Cells
from dko.models.sccvae.targets import Targets, full_mask

CPU = torch.device("cpu")
TINY = Config(n_latent=8, hidden=(16, 16), code_hidden=(8,), groups=4)


class Screen(NamedTuple):
    """Cells of training and validation, and what is known of the genes that can be perturbed (all of them)."""

    training: Cells
    validation: Cells
    features: np.ndarray
    targets: np.ndarray
    columns: np.ndarray


@pytest.fixture(scope="session")
def screen():
    """40 genes, six of which are knocked down, 30 cells each and a pair of 30 cells; 90 control cells."""
    adata = dko.datasets.perturb_seq(6, 40, n_cells=30, n_controls=90, n_modules=2, n_pairs=1, rng=0)
    genes = adata.var_names
    labels = list(adata.varm["effect"].columns)
    targets = [label for label in labels if "+" not in label]
    members = np.array([[target in label.split("+") for target in targets] for label in labels])
    number = adata.obs["perturbation"].map({label: i for i, label in enumerate(labels)}).astype(float)
    cells = Cells(adata.X, number.fillna(-1).to_numpy(dtype=int), members)
    validates = np.arange(adata.n_obs) % 5 == 0
    control = adata.X[cells.control].toarray()
    _, size, loadings = np.linalg.svd(control - control.mean(axis=0), full_matrices=False)
    training, validation = (cells.of(np.flatnonzero(some)) for some in (~validates, validates))
    features = (loadings[:5].T * size[:5]).astype(np.float32)
    return Screen(training, validation, features, genes.get_indexer(targets), np.arange(len(genes)))


def targets_of(screen):
    """All 40 genes can be perturbed."""
    node = np.full(len(screen.features), -1)
    return Targets(screen.features, screen.targets, screen.columns, full_mask(TINY.n_latent), node)


@pytest.fixture(scope="session")
def fitted(screen):
    """(model, training) of a short fit, as a function of fields of the configuration, seed and steps."""

    def run(*, seed=0, max_steps=40, learning_rate=1e-3, of=screen, **changed):
        config, rng = replace(TINY, **changed), np.random.default_rng(seed)
        schedule = Schedule(8 * config.groups, learning_rate, max_steps=max_steps, clip=1.0)
        return fit(of.training, of.validation, targets_of(of), config, schedule, device=CPU, rng=rng)

    return run


@pytest.fixture(scope="session")
def model(fitted):
    """The model of a fit that has seen enough to tell perturbations apart."""
    return fitted(max_steps=300, learning_rate=3e-3)[0]


@pytest.fixture(scope="session")
def control(screen):
    """Twelve control cells, dense."""
    return torch.from_numpy(screen.training.values[screen.training.control[:12]].toarray())
