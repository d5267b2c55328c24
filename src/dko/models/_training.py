"""The training loop that every model shares: minibatches, validation, the best weights kept."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from .._core.messages import bar, logger
from ._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Batch: TypeAlias = Any
    """What a loader yields and a loss takes: a tensor of rows, or several."""
    Loss = Callable[[Any, Batch], torch.Tensor]
    """(network, batch) -> one loss per row of the batch."""
    Loader = Callable[[np.ndarray | None], Iterable[Batch]]
    """order of the rows, or None as they come -> batches on the device."""


Network = TypeVar("Network", bound=torch.nn.Module)

# Multiplications per pass forward below which a step, about a millisecond, is made on one thread.
_SMALL_STEP = 2**24


# What a step size is multiplied with when it is cut.
_CUT = 0.3

# With few cells a pass is a step or two, too short to tell progress from noise.
_FEWEST_STEPS = 10


@dataclass(frozen=True)
class Schedule:
    """How long and in which steps to train.

    Attributes
    ----------
    batch_size
        Rows per step.
    learning_rate
        Step size of Adam.
    max_epochs, max_steps
        Passes over the training rows, and steps, after which training ends; at least one of them is given.
    patience
        After this many validations without a better loss training goes back to the best weights with a smaller step
        size, or ends; None never does either.
    reductions
        How often it goes back, each time with 0.3 of the step size, before it ends.
    validate_every
        Steps between validations; None validates once a pass, but not more often than every 10 steps, nor more seldom
        than 50 times in all.
    """

    batch_size: int
    learning_rate: float
    max_epochs: int | None = None
    max_steps: int | None = None
    patience: int | None = None
    reductions: int = 0
    validate_every: int | None = None

    def n_steps(self, n_rows: int) -> int:
        """Return the steps at most for so many training rows."""
        limits = [] if self.max_steps is None else [self.max_steps]
        if self.max_epochs is not None:
            limits.append(self.max_epochs * self.steps_per_epoch(n_rows))
        if not limits or min(limits) < 1:
            raise ValueError("Training needs max_steps or max_epochs of at least 1.")
        return min(limits)

    def steps_per_epoch(self, n_rows: int) -> int:
        """Return the steps in one pass over so many training rows."""
        return math.ceil(n_rows / self.batch_size)


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the weights: the loss history, and whether the user stopped it."""

    history: pd.DataFrame
    interrupted: bool


def train(
    network: Network,
    loss: Loss,
    training: Loader,
    validation: Loader,
    n_rows: int,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    descend: Callable[[Network, Batch], torch.Tensor] | None = None,
    optimizer: Callable[[Network], torch.optim.Optimizer] | None = None,
    label: str = "fit",
) -> Trained:
    """Train `network` in place and leave it with the weights of the best validation loss.

    Parameters
    ----------
    network
        On `device`; back on the CPU afterwards.
    loss
        ``loss(network, batch)`` is one number per row of the batch.
    training, validation
        Given an order of the rows (or None), the dense batches of the training and of the validation rows.
    n_rows
        Number of training rows.
    rng
        Shuffles the training rows before each pass.
    descend
        ``descend(network, batch)`` sets the gradients of the mean loss and returns it; by default through automatic
        differentiation of `loss`.
    optimizer
        Makes the optimiser of a network, whose step sizes are cut; by default Adam with the step size of the schedule.

    Returns
    -------
    History with the columns ``step``, ``epoch``, ``train_loss`` (mean over the steps since the last validation) and
    ``validation_loss``. Ctrl-C ends training early and keeps the best weights so far; before the first validation
    there are none, and it goes on to the caller.
    """
    # This process alone: without the plugin, Fabric would take its tasks from the batch system it runs under.
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.index is None or device.type == "cpu" else [device.index],
        plugins=[LightningEnvironment()],
    )
    if optimizer is None:
        fused = True if device.type in {"cpu", "cuda"} else None
        adam: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate, fused=fused)
    else:
        adam = optimizer(network)
    module, stepper = fabric.setup(network, adam)

    def by_autograd(network: Network, batch: Batch) -> torch.Tensor:
        step_loss = loss(module, batch).mean()
        network.zero_grad()
        fabric.backward(step_loss)
        return step_loss.detach()

    gradients = by_autograd if descend is None else descend

    def make_step(batch: Batch) -> torch.Tensor:
        step_loss = gradients(network, batch)
        stepper.step()
        return step_loss

    def cut() -> None:
        for group in adam.param_groups:
            group["lr"] *= _CUT

    best = _Best(network)
    shown = bar(total=schedule.n_steps(n_rows), description=label, unit="step", leave=False)
    small = schedule.batch_size * sum(weight.numel() for weight in network.parameters()) < _SMALL_STEP
    with one_thread() if small else nullcontext(), shown:
        steps = _steps(training, n_rows, schedule.n_steps(n_rows), rng)
        validate = partial(_mean_loss, network, loss, validation)
        trained = _loop(steps, make_step, validate, cut, n_rows, schedule, best, shown)
    if trained.interrupted:
        done = trained.history["step"].iloc[-1]
        logger.warning("%s: stopped by the user after %d steps, at the best weights so far.", label, done)
    best.restore()
    network.to("cpu")
    return trained


def _loop(
    steps: Iterator[tuple[int, int, Batch]],
    make_step: Callable[[Batch], torch.Tensor],
    validate: Callable[[], float],
    cut: Callable[[], None],
    n_rows: int,
    schedule: Schedule,
    best: _Best,
    shown: Any,
) -> Trained:
    """Make steps, validate now and then, offer the weights to `best`, and cut the step size or end without patience."""
    n_steps = schedule.n_steps(n_rows)
    every = schedule.validate_every or max(_FEWEST_STEPS, min(schedule.steps_per_epoch(n_rows), n_steps // 50))
    history: list[tuple[int, int, float, float]] = []
    # The losses of the steps since the last validation; on the device, as reading each of them would wait for it.
    losses: list[torch.Tensor] = []
    interrupted = False
    cuts = 0
    try:
        for step, epoch, batch in steps:
            losses.append(make_step(batch))
            if step % every and step != n_steps:
                continue
            validation_loss = validate()
            if not math.isfinite(validation_loss):
                raise FloatingPointError(
                    f"The loss is no longer a number after {step} steps; try a smaller learning_rate "
                    f"(it is {schedule.learning_rate})."
                )
            history.append((step, epoch, torch.stack(losses).mean().item(), validation_loss))
            best.offer(validation_loss)
            if shown.update(len(losses)):
                shown.set_postfix(loss=f"{validation_loss:.4f}", best=f"{best.loss:.4f}")
            losses.clear()
            if schedule.patience is not None and best.age >= schedule.patience:
                if cuts == schedule.reductions:
                    break
                best.restore()
                cut()
                cuts, best.age = cuts + 1, 0
    except KeyboardInterrupt:
        if not history:
            raise
        interrupted = True
    return Trained(
        pd.DataFrame(history, columns=["step", "epoch", "train_loss", "validation_loss"]), interrupted=interrupted
    )


def _steps(training: Loader, n_rows: int, n_steps: int, rng: np.random.Generator) -> Iterator[tuple[int, int, Batch]]:
    """Yield (step, epoch, batch), both counted from 1, until `n_steps` are made."""
    step = epoch = 0
    while True:
        epoch += 1
        for batch in training(rng.permutation(n_rows)):
            step += 1
            yield step, epoch, batch
            if step == n_steps:
                return


@torch.inference_mode()
def _mean_loss(network: torch.nn.Module, loss: Loss, validation: Loader) -> float:
    network.eval()
    losses = [loss(network, batch) for batch in validation(None)]
    network.train()
    return torch.cat(losses).mean().item()


class _Best:
    """The weights of the lowest validation loss so far."""

    def __init__(self, network: torch.nn.Module):
        self._weights = [parameter.detach() for parameter in network.parameters()]
        self._kept = [weight.clone() for weight in self._weights]
        self._spare = [weight.clone() for weight in self._weights]
        self.loss = math.inf
        self.age = 0
        """Validations since the best one, or since the step size was cut."""

    def offer(self, loss: float) -> None:
        if loss < self.loss:
            _copy(self._weights, self._spare)
            # In one step, so that Ctrl-C never finds weights of two kinds.
            self._kept, self._spare, self.loss, self.age = self._spare, self._kept, loss, 0
        else:
            self.age += 1

    def restore(self) -> None:
        _copy(self._kept, self._weights)


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for old, new in zip(source, target, strict=True):
        new.copy_(old)
