"""Fits of one member and of several, and how strong perturbations are that they have not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from dko.models.fitting import Schedule
from dko.models.sccvae import fit as fitting
from dko.models.sccvae.ensemble import Ensemble, Member
from dko.models.sccvae.fit import fit_members, on_target_effects, with_strength
from dko.models.sccvae.network import Loss, grouped_mmd
from dko.models.sccvae.sampler import Cells, sampler

from .conftest import TINY, targets_of


def batch_of(screen):
    (batch,) = sampler(screen.training, TINY, 1, 8, torch.device("cpu"), np.random.default_rng(0))(None)
    return batch


def test_terms_of_the_loss_count_as_they_are_weighed(fitted, screen):
    network = fitted(max_steps=5)[0].network.eval()
    batch = batch_of(screen)
    off = dict.fromkeys(("reconstruction", "effect", "pairs", "kl", "mmd", "sparsity"), 0.0)
    bandwidths, columns = torch.tensor([10.0]), screen.columns[screen.targets]

    def loss(**weights):
        with torch.no_grad():
            return Loss(network, replace(TINY, **off | weights), bandwidths, columns, 1).eval()(batch)

    assert (loss() == 0).all()
    parts = [loss(**{name: 2.0}) for name in off]
    # The control has no effect, which it cannot miss.
    assert all((part >= 0).all() and part.max() > 0 for part in parts)
    torch.testing.assert_close(sum(parts), loss(**dict.fromkeys(off, 2.0)))
    torch.testing.assert_close(loss(mmd=6.0), 3 * loss(mmd=2.0))
    with torch.no_grad():
        mean, variance = network.encode(batch.before)
        shift = (batch.members @ network.shifts())[:, None]
        after = network.decode(mean + variance.sqrt() * batch.noise + shift, network.propagation())
    prior, posterior = (torch.distributions.Normal(*of) for of in ((0.0, 1.0), (mean, variance.sqrt())))
    torch.testing.assert_close(loss(kl=1.0), torch.distributions.kl_divergence(posterior, prior).mean(dim=(1, 2)))
    torch.testing.assert_close(loss(pairs=1.0), (after - batch.after).square().mean(dim=(1, 2)))
    torch.testing.assert_close(loss(mmd=1.0), grouped_mmd(after, batch.after, bandwidths))
    torch.testing.assert_close(loss(sparsity=1.0), network.graph().abs().sum().detach().expand(4))


def test_what_happens_to_the_transcript_of_a_target_does_not_count(fitted, screen):
    """Similar targets would inherit it; of targets that are not measured there is none."""
    network = fitted(max_steps=5)[0].network.eval()
    batch = batch_of(screen)
    columns = screen.columns[screen.targets]
    effect = batch.effect.clone()
    effect[:, columns] += 50 * batch.members
    other = batch._replace(effect=effect)
    only = replace(TINY, reconstruction=0.0, kl=0.0, mmd=0.0, sparsity=0.0, effect=1.0)

    def loss(batch, columns):
        with torch.no_grad():
            return Loss(network, only, torch.tensor([10.0]), columns, 1).eval()(batch)

    torch.testing.assert_close(loss(batch, columns), loss(other, columns))
    unmeasured = np.full(len(columns), -1)
    assert (loss(other, unmeasured)[1:] > 10 * loss(batch, unmeasured)[1:]).all()


@pytest.fixture
def members(screen, monkeypatch):
    """Fits of several members, as a function of their number, the one that the user stops, and when."""
    cells, whole = screen.training, fitting.fit
    rows = np.flatnonzero(cells.used)

    def run(n, stopped=None, *, before_validation=False):
        calls = []

        def fit(*args, **how):
            calls.append(how["label"])
            if len(calls) == stopped and before_validation:
                raise KeyboardInterrupt
            member, trained = whole(*args, **how)
            return member, replace(trained, interrupted=len(calls) == stopped)

        monkeypatch.setattr("dko.models.sccvae.fit.fit", fit)
        parts, targets = [rows[number::5] for number in range(n)], targets_of(screen)
        schedule, rng = Schedule(32, 1e-3, max_steps=5), np.random.default_rng(5)
        return fit_members(cells, parts, targets, TINY, schedule, device=torch.device("cpu"), rng=rng)

    return run


def test_the_first_members_of_more_are_those_of_fewer(members):
    genes = np.arange(40)
    one, (history,) = members(1)
    two, histories = members(2)
    assert torch.equal(one.members[0].shifts(genes), two.members[0].shifts(genes))
    assert not torch.equal(two.members[0].shifts(genes), two.members[1].shifts(genes))
    assert histories[0].equals(history) and len(histories) == 2


CONTROL = [1.0, 2.0, 4.0, 8.0]


def knockdowns(own):
    """Two cells of the control and of each knockdown, in which nothing but the target's own value differs."""
    control = np.array(CONTROL)
    rows, number, members = [control, control], [-1, -1], []
    for count, (gene, change) in enumerate(own.items()):
        values = control.copy()
        values[gene] += change
        rows += [values - 0.5, values + 0.5]
        number += [count, count]
        members.append([target == gene for target in range(4)])
    values = sparse.csr_matrix(np.array(rows, dtype=np.float32))
    return Cells(values, np.array(number), np.array(members, dtype=bool))


def test_targets_that_control_cells_do_not_express_say_nothing_of_a_share():
    """A rise from nothing is no multiple of the mean."""
    cells = knockdowns({0: -0.5, 3: 0.3})
    values = cells.values.toarray()
    values[:, 3] = np.where(cells.perturbation == 1, 0.3, 0)
    found = on_target_effects(replace(cells, values=sparse.csr_matrix(values)), np.arange(4), np.arange(4))
    np.testing.assert_allclose(found, [-0.5, -1.0, -2.0, 0.3], rtol=1e-5)


@pytest.mark.parametrize("changes", [[-0.5, -1.6, -2.0, -4.0], [0.5, 1.5, 3.0, 1.5]])
def test_targets_change_as_measured_and_others_lose_the_median_share_or_rise_by_the_median(changes):
    found = on_target_effects(knockdowns(dict(enumerate(changes[:3]))), np.arange(4), np.arange(4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, changes, rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "stopped", "before_validation", "left"),
    [(4, 3, True, "2 of 4 members: those that were"), (4, 3, False, "2 of 4"), (3, 1, False, "1 of 3 members: the fi")],
)
def test_what_the_user_stops_leaves_whole_members_or_the_first_as_far_as_it_came(
    n, stopped, before_validation, left, members, caplog
):
    found, histories = members(n, stopped, before_validation=before_validation)
    assert len(found.members) == len(histories) == int(left[0])
    assert f"Stopped by the user: the model has {left}" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        members(3, 1, before_validation=True)


def strengths(*members, of, screen, rng=0):
    """Of all genes of each member, calibrated with the training cells `of`."""
    found = with_strength(Ensemble(members), of, screen.columns, np.random.default_rng(rng))
    return np.stack([member.strength for member in found.members])


def with_effects(cells: Cells, factor: float) -> Cells:
    """The same cells, the perturbed ones moved so that the effects of perturbations are multiplied."""
    values, means = cells.values[:].toarray(), cells.means()
    number = cells.perturbation
    moved = values + (factor - 1) * (means[number + 1] - means[0])
    return Cells(sparse.csr_matrix(moved.astype(np.float32)), number, cells.members)


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
