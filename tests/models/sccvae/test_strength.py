from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dko.models.sccvae.ensemble import Ensemble, Member
from dko.models.sccvae.fit import with_strength
from dko.models.sccvae.sampler import Cells


def strengths(*members, of, screen, rng=0):
    """Of all genes of each member, calibrated with the training cells `of`."""
    found = with_strength(Ensemble(members), of, screen.columns, np.random.default_rng(rng))
    return np.stack([member.strength for member in found.members])


def with_effects(cells: Cells, factor: float) -> Cells:
    """The same cells, the perturbed ones moved so that the effects of perturbations are multiplied."""
    values, means = cells.values.toarray(), cells.means()
    number = cells.perturbation
    moved = values + (factor - 1) * (means[number + 1] - means[0])
    return Cells(type(cells.values)(moved.astype(np.float32)), number, cells.members)


def test_calibrated_follows_the_size_of_measured_effects(model, screen):
    """4.3 of the method: one factor, from training perturbations alone, each predicted from the others."""
    whole, half, none, opposite = (
        strengths(model, of=with_effects(screen.training, factor), screen=screen)[0] for factor in (1.0, 0.5, 0.0, -1.0)
    )
    assert (whole == whole[0]).all() and 0.1 < whole[0] < 2
    np.testing.assert_allclose(half, whole / 2, rtol=1e-3)
    np.testing.assert_allclose(none, 0, atol=1e-3)
    assert (opposite == 0).all()


def test_fewer_than_five_single_targets_calibrate_nothing(model, screen):
    few = screen.training.of(np.flatnonzero(np.isin(screen.training.perturbation, [-1, 0, 1, 2, 3, 6])))
    assert (strengths(model, of=few, screen=screen) == 1).all()


def test_codes_of_features_are_calibrated_out_of_sample(fitted, screen, monkeypatch):
    """Features are noise, learned by heart: of other targets the network knows less than it says."""
    monkeypatch.setattr("dko.models.sccvae.fit._STEPS", 40)
    noise = np.random.default_rng(1).standard_normal((40, 20)).astype(np.float32)
    of = screen._replace(features=noise)
    model, _ = fitted(code="softmax", of=of, dropout=0.0, max_steps=150, learning_rate=3e-3)
    found = strengths(model, of=screen.training, screen=screen)[0]
    assert (found == found[0]).all() and 0 <= found[0] <= 2
    control, means = screen.training.values[screen.training.control], screen.training.means()
    measured = means[1:7] - means[0]
    by_heart = model.changes(torch.from_numpy(control.toarray()), model.unseen(screen.targets).detach(), None)
    predicted = by_heart.mean(dim=1).numpy()
    for effects in (predicted, measured):
        effects[np.arange(6), screen.targets] = 0
    in_sample = (predicted * measured).sum() / (predicted**2).sum()
    assert found[0] < 0.7 * in_sample


def test_calibration_cells_are_drawn_from_all_control_cells(monkeypatch, model, screen):
    """Not the first ones, which a file may have sorted."""
    monkeypatch.setattr("dko.models.sccvae.fit._N_CELLS", 10)
    found = {strengths(model, of=screen.training, screen=screen, rng=rng)[0, 0] for rng in (0, 0, 1)}
    assert len(found) == 2


def test_several_members_have_one_factor_for_what_they_predict_together(model, fitted, screen, caplog):
    """Least squares of the mean prediction, not of each; nothing is said of a member that predicts nothing."""
    other = fitted(seed=1, max_steps=150, learning_rate=3e-3)[0]
    mirrored = Member.from_arrays(model.config, model.arrays)
    with torch.no_grad():
        mirrored.network.codes.mul_(-1)
    alone = [strengths(one, of=screen.training, screen=screen)[0, 0] for one in (model, other, mirrored)]
    assert alone[2] == 0 and "predicted to do nothing" in caplog.text
    caplog.clear()
    together = strengths(model, other, mirrored, of=screen.training, screen=screen)
    assert together.shape == (3, 40) and (together == together[0, 0]).all() and together[0, 0] > min(alone[:2])
    assert not caplog.text
    assert (model.strength == 1).all()


def test_calibrated_does_not_know_what_a_target_does_to_itself(model, screen):
    """Its own transcript, which every knockdown lowers, says nothing of how well its effects are predicted."""
    values = screen.training.values.tolil()
    for number, gene in enumerate(screen.targets):
        values[np.flatnonzero(screen.training.perturbation == number), gene] = 50.0
    changed = replace(screen.training, values=values.tocsr())
    found, expected = (strengths(model, of=of, screen=screen) for of in (changed, screen.training))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
