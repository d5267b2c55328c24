from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from dko.models.sccvae import fit as fitting
from dko.models.sccvae.fit import fit_members, on_target_effects
from dko.models.sccvae.network import Loss, grouped_mmd
from dko.models.sccvae.sampler import Cells, sampler
from dko.models.sccvae.targets import full_mask

from .conftest import targets_of


def batch_of(screen, config):
    (batch,) = sampler(screen.training, config, 1, 8, 8, torch.device("cpu"), np.random.default_rng(0))()
    return batch


def effects_of(model, cells, genes):
    """Mean change of control cells that the model says of each gene: genes x genes of the cells."""
    control = torch.from_numpy(cells.values[cells.control].toarray())
    return model.changes(control, model.shifts(genes), None).mean(dim=1).numpy()


def test_the_seed_decides(fitted, screen):
    """T6."""
    (first, of_first), (again, of_again), (other, of_other) = (fitted(seed=seed) for seed in (1, 1, 2))
    assert of_first.history.equals(of_again.history) and not of_first.history.equals(of_other.history)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name], err_msg=name)
    genes = np.arange(40)
    assert not np.allclose(effects_of(first, screen.training, genes), effects_of(other, screen.training, genes))


def test_perturbations_that_are_trained_on_are_learned(model, screen):
    """T12, in small: effects on cells of validation."""
    means = screen.validation.means()
    found = effects_of(model, screen.training, screen.targets)
    measured = means[1:7] - means[0]
    assert np.corrcoef(found.ravel(), measured.ravel())[0, 1] > 0.6
    assert ((found - measured) ** 2).mean() < 0.75 * (measured**2).mean()


def test_terms_of_the_loss_count_as_they_are_weighed(config, fitted, screen):
    network = fitted(max_steps=5)[0].network.eval()
    batch = batch_of(screen, config)
    off = dict.fromkeys(("reconstruction", "effect", "pairs", "kl", "mmd", "sparsity"), 0.0)
    bandwidths, columns = torch.tensor([10.0]), screen.columns[screen.targets]

    def loss(**weights):
        with torch.no_grad():
            return Loss(network, replace(config, **off | weights), bandwidths, columns, 1).eval()(batch)

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


def test_what_happens_to_the_transcript_of_a_target_does_not_count(config, fitted, screen):
    """Similar targets would inherit it; of targets that are not measured there is none."""
    network = fitted(max_steps=5)[0].network.eval()
    batch = batch_of(screen, config)
    columns = screen.columns[screen.targets]
    effect = batch.effect.clone()
    effect[:, columns] += 50 * batch.members
    other = batch._replace(effect=effect)
    only = replace(config, reconstruction=0.0, kl=0.0, mmd=0.0, sparsity=0.0, effect=1.0)

    def loss(batch, columns):
        with torch.no_grad():
            return Loss(network, only, torch.tensor([10.0]), columns, 1).eval()(batch)

    torch.testing.assert_close(loss(batch, columns), loss(other, columns))
    unmeasured = np.full(len(columns), -1)
    assert (loss(other, unmeasured)[1:] > 10 * loss(batch, unmeasured)[1:]).all()


@pytest.fixture
def members(screen, config, fitted, monkeypatch):
    """Fits of several members, as a function of their number, the one that the user stops, and when."""
    from dko.models.fitting import Schedule

    cells = Cells(screen.training.values, screen.training.perturbation, screen.training.members)
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
        found = fit_members(
            cells,
            [rows[number::5] for number in range(n)],
            targets_of(screen, full_mask(8)),
            config,
            Schedule(32, 1e-3, max_steps=5),
            device=torch.device("cpu"),
            rng=np.random.default_rng(5),
        )
        monkeypatch.undo()
        return found

    whole = fitting.fit
    return run


def test_the_first_members_of_more_are_those_of_fewer(members):
    genes = np.arange(40)
    one, (history,) = members(1)
    two, histories = members(2)
    assert torch.equal(one.members[0].shifts(genes), two.members[0].shifts(genes))
    assert not torch.equal(two.members[0].shifts(genes), two.members[1].shifts(genes))
    assert histories[0].equals(history) and len(histories) == 2


CONTROL = [1.0, 2.0, 4.0, 8.0]


def knockdowns(own, pairs=()):
    """Two cells of the control and of each knockdown, in which nothing but the target's own value differs."""
    control = np.array(CONTROL)
    rows, number, members = [control, control], [-1, -1], []
    for count, (genes, change) in enumerate([*(((gene,), change) for gene, change in own.items()), *pairs]):
        values = control.copy()
        values[list(genes)] += change
        rows += [values - 0.5, values + 0.5]
        number += [count, count]
        members.append([target in genes for target in range(4)])
    values = sparse.csr_matrix(np.array(rows, dtype=np.float32))
    return Cells(values, np.array(number), np.array(members, dtype=bool))


def test_targets_that_control_cells_do_not_express_say_nothing_of_a_share():
    """A rise from nothing is no multiple of the mean."""
    cells = knockdowns({0: -0.5, 3: 0.3})
    values = cells.values.toarray()
    values[:, 3] = np.where(cells.perturbation == 1, 0.3, 0)
    cells = Cells(sparse.csr_matrix(values), cells.perturbation, cells.members)
    found = on_target_effects(cells, np.arange(4), np.arange(4))
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


def test_stopped_before_anything_is_a_keyboard_interrupt(members):
    with pytest.raises(KeyboardInterrupt):
        members(3, 1, before_validation=True)
