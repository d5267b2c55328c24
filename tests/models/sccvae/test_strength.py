from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dko.models import sccvae
from dko.models.sccvae import STRENGTHS, Cells, Ensemble, _strength, model_of
from dko.models.sccvae._held_out import held_out_shifts
from dko.models.sccvae._model import unseen_shifts


def strengths(model, *how, rng=0):
    """Those of an ensemble of one."""
    return strengths_of(Ensemble((model,)), *how, rng=rng)[0]


def strengths_of(ensemble, *how, rng=0):
    training, columns, policy = how
    return sccvae.strengths(ensemble, training, columns, policy, np.random.default_rng(rng))


def with_effects(cells: Cells, factor: float) -> Cells:
    """The same cells, the perturbed ones moved so that the effects of perturbations are multiplied."""
    values, means = cells.values.toarray(), cells.means()
    number = cells.perturbation
    moved = values + (factor - 1) * (means[number + 1] - means[0])
    return Cells(type(cells.values)(moved.astype(np.float32)), number, cells.members)


@pytest.mark.parametrize("policy", STRENGTHS)
def test_every_gene_has_a_strength(policy, model, screen):
    found = strengths(model, screen.training, screen.columns, policy)
    assert found.shape == (40,) and found.dtype == np.float32
    assert np.isfinite(found).all() and (found >= 0).all()


def test_unit_leaves_shifts_as_they_are(model, screen):
    assert (strengths(model, screen.training, screen.columns, "unit") == 1).all()


def test_mean_gives_shifts_the_median_length_of_the_trained_ones(model, screen):
    found = strengths(model, screen.training, screen.columns, "mean")
    genes = np.arange(40)
    lengths = unseen_shifts(model, genes).norm(dim=1).detach().numpy() * found
    trained = model.network.shifts().norm(dim=1).detach().numpy()
    np.testing.assert_allclose(lengths, np.median(trained), rtol=1e-4)


def test_predict_keeps_within_the_lengths_of_the_trained_ones(model, screen):
    found = strengths(model, screen.training, screen.columns, "predict")
    lengths = unseen_shifts(model, np.arange(40)).norm(dim=1).detach().numpy() * found
    trained = model.network.shifts().norm(dim=1).detach().numpy()
    assert (lengths >= 0).all() and (lengths <= trained.max() * 1.0001).all()


def test_predict_learns_lengths_from_features(model, screen):
    """The further along a feature, the longer the shift."""
    along = torch.linspace(0.1, 2, 6)
    model = replace(
        model,
        network=type(model.network)(
            model.config, model.network.centre, model.network.mask.bool(), along[:, None], model.network.own
        ),
    )
    with torch.no_grad():
        model.network.codes[:] = torch.nn.functional.normalize(torch.ones(6, 8), dim=1) * along[:, None]
    features = torch.zeros(40, 1)
    features[screen.targets] = along[:, None]
    features[screen.unseen[0]], features[screen.unseen[1]] = 0.5, 1.5
    model = replace(model, features=features)
    found = strengths(model, screen.training, screen.columns, "predict")
    lengths = unseen_shifts(model, np.arange(40)).norm(dim=1).detach().numpy() * found
    assert lengths[screen.unseen[0]] == pytest.approx(0.5, abs=0.05)
    assert lengths[screen.unseen[1]] == pytest.approx(1.5, abs=0.05)


def test_calibrated_follows_the_size_of_measured_effects(model, screen):
    """4.3 of the method: one factor, from training perturbations alone, each predicted from the others."""
    whole, half, none, opposite = (
        strengths(model, with_effects(screen.training, factor), screen.columns, "calibrated")
        for factor in (1.0, 0.5, 0.0, -1.0)
    )
    assert (whole == whole[0]).all() and 0.1 < whole[0] < 2
    np.testing.assert_allclose(half, whole / 2, rtol=1e-3)
    np.testing.assert_allclose(none, 0, atol=1e-3)
    assert (opposite == 0).all()


def test_calibrated_does_not_know_what_a_target_does_to_itself(model, screen):
    """Its own transcript, which every knockdown lowers, says nothing of how well its effects are foretold."""
    values = screen.training.values.tolil()
    for number, gene in enumerate(screen.targets):
        values[np.flatnonzero(screen.training.perturbation == number), gene] = 50.0
    changed = replace(screen.training, values=values.tocsr())
    found, expected = (strengths(model, c, screen.columns, "calibrated") for c in (changed, screen.training))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_auto_calibrates_from_five_single_targets_on(model, screen):
    calibrated = strengths(model, screen.training, screen.columns, "calibrated")
    np.testing.assert_array_equal(strengths(model, screen.training, screen.columns, "auto"), calibrated)
    few = screen.training.of(np.flatnonzero(np.isin(screen.training.perturbation, [-1, 0, 1, 2, 3, 6])))
    assert (strengths(model, few, screen.columns, "auto") == 1).all()


@pytest.mark.parametrize("code", ["unit", "softmax"])
def test_codes_of_features_are_calibrated_out_of_sample(code, fitted, screen):
    """Features are noise, learned by heart: of other targets the network knows less than it says."""
    noise = np.random.default_rng(1).standard_normal((40, 20)).astype(np.float32)
    model, _ = fitted(code=code, of=screen._replace(features=noise), dropout=0.0, max_steps=150, learning_rate=3e-3)
    found = strengths(model, screen.training, screen.columns, "calibrated")
    assert (found == found[0]).all() and 0 <= found[0] <= 2
    control, means = screen.training.values[screen.training.control], screen.training.means()
    measured = means[1:7] - means[0]
    by_heart = model.changes(torch.from_numpy(control.toarray()), unseen_shifts(model, screen.targets).detach(), None)
    predicted = by_heart.mean(dim=1).numpy()
    for effects in (predicted, measured):
        effects[np.arange(6), screen.targets] = 0
    in_sample = (predicted * measured).sum() / (predicted**2).sum()
    assert found[0] < 0.7 * in_sample


@pytest.mark.parametrize("code", ["unit", "softmax"])
def test_a_held_out_direction_is_that_of_targets_with_like_features(code, fitted, screen):
    kinds = np.zeros(40, dtype=int)
    kinds[screen.targets[:3]] = 1
    features = np.eye(2, 5, dtype=np.float32)[kinds] + 0.01 * screen.features / np.abs(screen.features).max()
    model, _ = fitted(code=code, of=screen._replace(features=features), dropout=0.0, max_steps=60, learning_rate=3e-3)
    seen, kind = unseen_shifts(model, screen.targets).detach(), kinds[screen.targets]
    told = held_out_shifts(model, screen.targets, np.random.default_rng(0))
    apart = torch.cdist(told, seen)
    for row, one in enumerate(kind):
        assert apart[row, kind == one].max() < apart[row, kind != one].min()


def test_calibration_cells_are_drawn_from_all_control_cells(monkeypatch, model, screen):
    """Not the first ones, which a file may have sorted."""
    monkeypatch.setattr(_strength, "_N_CELLS", 10)
    found = {strengths(model, screen.training, screen.columns, "calibrated", rng=rng)[0] for rng in (0, 0, 1)}
    assert len(found) == 2


def test_nothing_of_the_model_changes(model, screen):
    """T17: neither its weights nor its strengths."""
    before = {name: array.copy() for name, array in model.arrays.items()}
    for policy in STRENGTHS:
        strengths(model, screen.training, screen.columns, policy)
    for name, array in model.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_lone_single_target_is_foretold_from_targets_of_pairs(model, screen):
    """What is known of a target itself never calibrates it."""
    one = screen.training.of(np.flatnonzero(np.isin(screen.training.perturbation, [-1, 0])))
    expected = strengths(model, one, screen.columns, "calibrated")
    network = model_of(model.config, model.arrays).network
    with torch.no_grad():
        network.codes[0] *= 3
    assert expected[0] > 0
    np.testing.assert_array_equal(
        strengths(replace(model, network=network), one, screen.columns, "calibrated"), expected
    )


def test_several_members_have_one_factor_for_what_they_foretell_together(model, fitted, screen, caplog):
    """Least squares of the mean prediction, not of each; and nothing is said of a member that foretells nothing."""
    other = fitted(seed=1, max_steps=300, learning_rate=3e-3)[0]
    mirrored = model_of(model.config, model.arrays)
    with torch.no_grad():
        mirrored.network.codes.mul_(-1)
    alone = [strengths(one, screen.training, screen.columns, "calibrated")[0] for one in (model, other, mirrored)]
    assert alone[2] == 0 and "predicted to do nothing" in caplog.text
    caplog.clear()
    together = strengths_of(Ensemble((model, other, mirrored)), screen.training, screen.columns, "calibrated")
    assert together.shape == (3, 40) and (together == together[0, 0]).all() and together[0, 0] > min(alone[:2])
    assert not caplog.text
    lengths = strengths_of(Ensemble((model, other)), screen.training, screen.columns, "mean")
    np.testing.assert_array_equal(lengths[1], strengths(other, screen.training, screen.columns, "mean"))
