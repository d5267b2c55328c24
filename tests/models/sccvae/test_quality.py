"""What a fit says of itself: effects in validation cells, beside predicted ones and beside the mean of all."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from dko.models.sccvae.ensemble import Ensemble
from dko.models.sccvae.quality import agreement
from dko.models.sccvae.sampler import Cells


@pytest.fixture
def judged(screen):
    """Both correlations of members, in the validation cells of the screen."""
    training, validation = screen.training, screen.validation
    number = np.where(training.used, training.perturbation, validation.perturbation)
    cells, rows = Cells(training.values, number, training.members), np.flatnonzero(validation.used)

    def judge(*members):
        return agreement(Ensemble(members), cells, [rows] * len(members), screen.columns[screen.targets])

    return judge


def effects_of(cells):
    values, control = cells.values.toarray(), cells.perturbation == -1
    return [values[cells.perturbation == i].mean(axis=0) - values[control].mean(axis=0) for i in range(7)]


def test_both_are_mean_correlations_without_the_targets_themselves(judged, model, screen):
    control = torch.from_numpy(screen.training.of_control()[:].toarray())
    usual, expected = np.mean(effects_of(screen.training), axis=0), []
    for members, effect in zip(screen.training.members, effects_of(screen.validation), strict=True):
        shift = model.shifts(screen.targets[members]).sum(dim=0)
        predicted = model.changes(control, shift[None], None)[0].mean(dim=0).numpy()
        others = ~np.isin(np.arange(40), screen.columns[screen.targets[members]])
        expected.append([np.corrcoef(one[others], effect[others])[0, 1] for one in (predicted, usual)])
    np.testing.assert_allclose(judged(model), np.mean(expected, axis=0), rtol=1e-4)


def test_a_model_that_takes_one_perturbation_for_another_is_worse(judged, model):
    wrong = deepcopy(model.network)
    with torch.no_grad():
        wrong.codes.copy_(wrong.codes.roll(1, dims=0))
    own, mean = judged(model)
    mistaken, same = judged(replace(model, network=wrong))
    assert own > max(mean, mistaken) + 0.1 and mean == same
    assert judged(model, replace(model, network=wrong))[0] == pytest.approx((own + mistaken) / 2)
