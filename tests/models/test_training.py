from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from scipy import sparse

import dko
from dko.models._devices import fabric_on
from dko.models._training import loader, resolve_device, rows_on, train
from dko.models.fitting import Schedule

CPU = torch.device("cpu")
MATRIX = sparse.random(10, 5, 0.5, format="csr", dtype=np.float32, random_state=0)


def test_auto_asks_the_settings_and_takes_the_best_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device().type == expected
    with dko.settings.override(device="meta"):
        assert resolve_device("auto") == torch.device("meta")
        assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("memory_budget", [1, 10**6])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_are_the_same_within_and_beyond_the_memory_budget(batch_size, memory_budget):
    dense, order = MATRIX.toarray(), np.array([9, 0, 3, 3, 5, 2, 1])
    with dko.settings.override(memory_budget=memory_budget):
        assert rows_on(MATRIX, CPU)(order[:0]).shape == (0, 5)
        load = loader(MATRIX, batch_size, CPU)
        for rows, expected in [(None, dense), (order, dense[order])] * 2:
            parts = list(load(rows))
            assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
            np.testing.assert_array_equal(torch.cat(parts), expected)


class Slope(torch.nn.Module):
    """One number; its loss is the squared distance to what a row holds."""

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor([0.0]))

    def forward(self, rows):
        return (rows[:, 0] - self.value) ** 2


def constant(value, n=8, batch_size=4):
    """Loader of rows that all hold `value`."""
    return lambda order: [torch.full((batch_size, 1), value) for _ in range(n // batch_size)]


def run(network, *, training=None, validation=None, n_rows=8, rng=0, fabric=None, optimizer=torch.optim.Adam, **how):
    schedule = Schedule(**{"batch_size": 4, "learning_rate": 0.1, **how})
    return train(
        network,
        optimizer(network.parameters(), lr=schedule.learning_rate),
        training or constant(1.0),
        validation or constant(1.0),
        n_rows,
        schedule,
        fabric=fabric or fabric_on(CPU, schedule),
        rng=np.random.default_rng(rng),
    )


class Constant(Slope):
    """The slope of its loss is -1 at every row, so that plain descent goes up by just the step size."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, rows):
        if torch.is_grad_enabled():
            return -self.value.expand(len(rows))
        self.seen.append(self.value.item())
        return super().forward(rows)


@pytest.mark.parametrize("reductions", [0, 1, 3])
def test_out_of_patience_it_goes_back_with_smaller_steps_so_many_times(reductions):
    # Wide steps from 0 overshoot what validation likes best; smaller ones from the best weights come closer.
    network = Constant()
    how = {"max_steps": 1000, "patience": 2, "reductions": reductions, "validate_every": 1}
    trained = run(network, validation=constant(0.24, batch_size=8), optimizer=torch.optim.SGD, **how)
    expected, best, kept = [], np.inf, 0.0
    for step in 0.1 * 0.3 ** np.arange(reductions + 1):
        value, age = kept, 0
        while age < 2:
            value += step
            expected.append(value)
            gap = abs(value - 0.24)
            best, kept, age = (gap, value, 0) if gap < best else (best, kept, age + 1)
    np.testing.assert_allclose(network.seen, expected, atol=1e-4)
    assert network.value.item() == pytest.approx(kept, abs=1e-4)
    assert len(trained.history) == len(expected)


@pytest.mark.parametrize(("clip", "moved"), [(None, 0.1), (0.5, 0.05)])
def test_long_gradients_are_cut(clip, moved):
    network = Constant()
    run(network, optimizer=torch.optim.SGD, max_steps=1, clip=clip)
    assert network.value.item() == pytest.approx(moved)


def test_gradients_and_precision_are_those_of_fabric():
    """What is asked of Fabric holds in every step: bfloat16 here, devices and strategies elsewhere."""
    kinds: list[object] = []

    class Watched(Slope):
        def forward(self, rows):
            kinds.append((rows @ self.value).dtype)
            return super().forward(rows)

    class Listened(Fabric):
        def backward(self, *args, **kwargs):
            kinds.append("backward")
            super().backward(*args, **kwargs)

    fabric = Listened(accelerator="cpu", precision="bf16-mixed")
    network = Watched()
    trained = run(network, fabric=fabric, max_steps=2, validate_every=2)
    assert kinds == [torch.bfloat16, "backward", torch.bfloat16, "backward", *[torch.bfloat16] * 2]
    assert network.value.dtype == torch.float32 and network.value.item() == pytest.approx(0.2, abs=0.02)
    assert len(trained.history) == 1


@pytest.mark.parametrize(
    ("limits", "n_rows", "n_steps", "n_epochs"),
    [
        ({"max_steps": 5}, 8, 5, 3),
        ({"max_epochs": 3}, 8, 6, 3),
        ({"max_epochs": 2}, 9, 6, 2),
        ({"max_steps": 5, "max_epochs": 2}, 8, 4, 2),
        ({"max_steps": 3, "max_epochs": 2}, 8, 3, 2),
    ],
)
def test_whichever_limit_comes_first(limits, n_rows, n_steps, n_epochs):
    rows = lambda order: torch.ones(len(order), 1).split(4)  # noqa: E731
    history = run(Slope(), training=rows, n_rows=n_rows, validate_every=1, **limits).history
    assert history["step"].tolist() == list(range(1, n_steps + 1))
    assert history["epoch"].iloc[-1] == n_epochs


@pytest.mark.parametrize(
    ("n_rows", "max_steps", "validated"),
    [(48, 600, [*range(12, 601, 12)]), (8, 25, [10, 20, 25]), (4000, 1000, [*range(20, 1001, 20)])],
    ids=["once a pass", "not more often than every 10 steps", "not more seldom than 50 times"],
)
def test_validation_comes(n_rows, max_steps, validated):
    history = run(Slope(), training=constant(1.0, n_rows), n_rows=n_rows, max_steps=max_steps).history
    assert history["step"].tolist() == validated
    assert history.columns.tolist() == ["step", "epoch", "train_loss", "validation_loss"]


def test_train_loss_is_the_mean_since_the_last_validation():
    values = iter([1.0, 2.0, 3.0, 4.0])
    rows = lambda order: (torch.full((4, 1), next(values)) for _ in range(2))  # noqa: E731
    history = run(Slope(), training=rows, max_steps=4, validate_every=2, learning_rate=1e-12).history
    assert history["train_loss"].tolist() == pytest.approx([(1 + 4) / 2, (9 + 16) / 2])


def test_every_pass_has_an_order_of_its_own_which_the_rng_decides():
    def orders(rng):
        seen = []

        def load(order):
            seen.append(order)
            return constant(1.0)(order)

        run(Slope(), training=load, max_epochs=3, rng=rng)
        return np.array(seen)

    first = orders(1)
    assert first.shape == (3, 8)
    assert (np.sort(first) == np.arange(8)).all()
    assert len(np.unique(first, axis=0)) == 3
    np.testing.assert_array_equal(first, orders(1))
    assert not np.array_equal(first, orders(2))


def interrupting(at_step):
    """Loader that is interrupted where the user presses Ctrl-C: in the middle of a pass."""
    steps = count(1)

    def load(order):
        for batch in constant(1.0)(order):
            if next(steps) == at_step:
                raise KeyboardInterrupt
            yield batch

    return load


def test_interrupt_keeps_the_best_weights_and_before_there_are_any_goes_on_to_the_caller(caplog):
    network, threads = Slope(), torch.get_num_threads()
    trained = run(network, training=interrupting(20), validation=constant(0.3), max_steps=100, validate_every=1)
    losses = trained.history["validation_loss"]
    assert trained.interrupted and trained.history["step"].iloc[-1] == 19 and losses.iloc[-1] > losses.min()
    assert (0.3 - network.value.item()) ** 2 == pytest.approx(losses.min(), abs=1e-7)
    assert "stopped by the user after 19 steps, at the best weights so far" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        run(Slope(), training=interrupting(2), max_steps=100, validate_every=10)
    assert torch.get_num_threads() == threads


def test_what_is_given_takes_the_place_of_a_preset():
    paper = Schedule(batch_size=20, learning_rate=0.01, max_steps=5_000, validate_every=1)
    chosen = paper.with_limits(batch_size=7, patience=3, learning_rate=None)
    assert (chosen.batch_size, chosen.patience, chosen.learning_rate) == (7, 3, 0.01)
    assert paper.with_limits(max_epochs=3).n_steps(400) == 60
    assert paper.with_limits(max_epochs=3).with_limits(max_steps=17).n_steps(100_000) == 17
    assert paper.with_limits(max_steps=17, max_epochs=1).n_steps(20) == 1
    for name in ("batch_size", "learning_rate", "max_epochs", "max_steps", "patience"):
        with pytest.raises(ValueError, match=f"{name}=-1 must be .*above 0"):
            paper.with_limits(**{name: -1})
