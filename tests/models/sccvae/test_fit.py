from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from dko.models.sccvae import fit as fitting
from dko.models.sccvae.fit import fit_members, on_target_effects
from dko.models.sccvae.loss import Loss, grouped_mmd
from dko.models.sccvae.sampler import Cells, Sampler
from dko.models.sccvae.targets import full_mask

from .conftest import targets_of


def batch_of(screen, config):
    (batch,) = Sampler(screen.training, config, 1, 8, 8, torch.device("cpu"), np.random.default_rng(0))()
    return batch


def effects_of(model, cells, genes):
    """Mean change of control cells that the model says of each gene: genes x genes of the cells."""
    control = torch.from_numpy(cells.values[cells.control].toarray())
    return model.changes(control, model.shifts(genes), None).mean(dim=1).numpy()


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_edges_outside_the_mask_stay_zero(code, fitted):
    """T1: after training too; a mask with holes, as of a network that is known."""
    mask = full_mask(8)
    mask[0, 1] = mask[2, 5] = False
    graph = fitted(code=code, mask=mask)[0].network.graph().detach().numpy()
    assert (graph[~mask] == 0).all()
    assert (graph[mask] != 0).all()


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


def test_a_named_dimension_is_that_of_its_gene(fitted, screen):
    """Genes of a given graph have one of their own, unseen ones too."""
    node = np.full(40, -1)
    node[screen.targets[0]], node[screen.unseen[0]] = 0, 1
    model, _ = fitted(node=node, max_steps=20)
    without = replace(model, node=np.full(40, -1))
    gained = (model.shifts(screen.unseen[:2]) - without.shifts(screen.unseen[:2])).numpy()
    assert gained[0, 1] == pytest.approx(model.network.own_weight.item())
    assert np.count_nonzero(gained) == 1
    assert model.network.own.sum() == 1


@pytest.mark.parametrize("published", [False, True])
def test_the_loss_falls(published, fitted):
    """As published: one perturbation at a time, random pairs, fixed bandwidths."""
    bandwidths = tuple(31.25 * 2.0**i for i in range(10))
    weights = {"effect": 0.0, "pairs": 1.0, "kl": 1.0, "mmd": 10.0, "warm_up": 1.0}
    how = {"code": "softmax", "groups": 1, "bandwidths": bandwidths, **weights} if published else {}
    _, trained = fitted(**how, max_steps=150, learning_rate=3e-3)
    losses = trained.history["validation_loss"]
    assert np.isfinite(losses).all() and losses.min() < 0.98 * losses.iloc[0]


def test_the_weight_of_the_divergence_rises_in_training_and_is_whole_in_validation(config, fitted, screen):
    network = fitted(max_steps=5)[0].network
    batch = batch_of(screen, config)
    loss = Loss(network, replace(config, kl=1.0), torch.tensor([10.0]), screen.columns[screen.targets], 4).train()
    rising = [loss(batch).mean().item() for _ in range(6)]
    steps = np.diff(rising)
    assert (steps[:3] > 0).all() and np.allclose(steps[:3], steps[0], rtol=1e-2)
    np.testing.assert_allclose(steps[3:], 0, atol=1e-6)
    assert loss.eval()(batch).mean().item() == pytest.approx(rising[-1], rel=1e-6)


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


@pytest.mark.parametrize("before_validation", [True, False])
def test_what_the_user_stops_leaves_whole_members(before_validation, members, caplog):
    found, histories = members(4, 3, before_validation=before_validation)
    assert len(found.members) == len(histories) == 2
    assert "Stopped by the user: the model has 2 of 4 members: those that were trained to the end." in caplog.text


def test_the_first_member_is_kept_as_far_as_it_came(members, caplog):
    found, _ = members(3, 1)
    assert len(found.members) == 1 and "1 of 3 members: the first, as far as it came." in caplog.text
    with pytest.raises(KeyboardInterrupt):
        members(3, 1, before_validation=True)


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


def test_targets_change_as_measured_and_others_lose_the_median_share():
    found = on_target_effects(knockdowns({0: -0.5, 1: -1.6, 2: -2.0}), np.arange(4), np.arange(4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-0.5, -1.6, -2.0, -4.0], rtol=1e-5)


def test_where_targets_are_raised_others_rise_by_the_median():
    found = on_target_effects(knockdowns({0: 0.5, 1: 1.5, 2: 3.0}), np.arange(4), np.arange(4))
    np.testing.assert_allclose(found, [0.5, 1.5, 3.0, 1.5], rtol=1e-5)


def test_targets_that_control_cells_do_not_express_say_nothing_of_a_share():
    """A rise from nothing is no multiple of the mean."""
    cells = knockdowns({0: -0.5, 3: 0.3})
    values = cells.values.toarray()
    values[:, 3] = np.where(cells.perturbation == 1, 0.3, 0)
    cells = Cells(sparse.csr_matrix(values), cells.perturbation, cells.members)
    found = on_target_effects(cells, np.arange(4), np.arange(4))
    np.testing.assert_allclose(found, [-0.5, -1.0, -2.0, 0.3], rtol=1e-5)
