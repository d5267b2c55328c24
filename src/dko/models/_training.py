"""The training loop of every model: minibatches, validation, the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from .._core.messages import bar, logger
from .fitting import Schedule

Loader: TypeAlias = Callable[[np.ndarray | None], Iterable[Any]]
"""Order of the rows, or None as they come -> batches on the device."""

# Multiplications per pass forward below which one thread makes a step: in well under a tenth of a second. A second one
# gains little there, and on a busy machine the first waits for it many times a step, at full use of its core.
_SMALL_STEP = 2**30
# What the step size is multiplied with when it is cut.
_CUT = 0.3


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the weights: the loss history, and whether the user stopped it."""

    history: pd.DataFrame
    interrupted: bool


def fabric_on(device: torch.device) -> Fabric:
    """Return what moves, differentiates and steps: this process alone, on one device."""
    # Without the plugin, Fabric would take its tasks from the batch system that it runs under.
    index = 1 if device.index is None or device.type == "cpu" else [device.index]
    return Fabric(accelerator=device.type, devices=index, plugins=[LightningEnvironment()])


def train(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    training: Loader,
    validation: Loader,
    n_rows: int,
    schedule: Schedule,
    *,
    fabric: Fabric,
    rng: np.random.Generator,
    label: str = "fit",
) -> Trained:
    """Train `network` in place and leave it, on the CPU, with the weights of the best validation loss.

    `network` has one loss per row for a batch; `training`, `validation`: given an order of the rows (or None), their
    batches; `rng` shuffles the `n_rows` training rows before each pass. Returns the history. Ctrl-C ends training early
    and keeps the best weights; before the first validation there are none, and it goes on to the caller.
    """
    model, stepper = fabric.setup(network, optimizer)
    n_steps, every = schedule.n_steps(n_rows), schedule.steps_to_validation(n_rows)
    best, cuts, interrupted = _Best(network), 0, False
    history: list[tuple[int, int, float, float]] = []
    # The losses of the steps since the last validation; on the device, as reading each of them would wait for it.
    losses: list[torch.Tensor] = []
    n_weights = sum(weight.numel() for weight in network.parameters())
    shown = bar(total=n_steps, description=label, unit="step", leave=False)
    with _threads(small=schedule.batch_size * n_weights < _SMALL_STEP), shown:
        try:
            for step, epoch, batch in _steps(training, n_rows, n_steps, rng):
                loss = model(batch).mean()
                stepper.zero_grad()
                fabric.backward(loss)
                if schedule.clip is not None:
                    fabric.clip_gradients(model, stepper, max_norm=schedule.clip, error_if_nonfinite=False)
                stepper.step()
                losses.append(loss.detach())
                if step % every and step != n_steps:
                    continue
                validation_loss = _mean_loss(model, validation, fabric)
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
                if schedule.patience is None or best.age < schedule.patience:
                    continue
                if cuts == schedule.reductions:
                    break
                best.restore()
                for group in optimizer.param_groups:
                    group["lr"] *= _CUT
                cuts, best.age = cuts + 1, 0
        except KeyboardInterrupt:
            if not history:
                raise
            interrupted = True
            logger.warning("%s: stopped by the user after %d steps, at the best weights so far.", label, history[-1][0])
    best.restore()
    network.to("cpu")
    columns = ["step", "epoch", "train_loss", "validation_loss"]
    return Trained(pd.DataFrame(history, columns=columns), interrupted)


def _steps(training: Loader, n_rows: int, n_steps: int, rng: np.random.Generator) -> Iterator[tuple[int, int, Any]]:
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
def _mean_loss(model: torch.nn.Module, validation: Loader, fabric: Fabric) -> float:
    model.eval()
    losses = [model(batch) for batch in validation(None)]
    model.train()
    # With several processes, the mean over all; this waits for the device.
    mean: Any = fabric.all_reduce(torch.cat(losses).mean())
    return float(mean)


class _Best:
    """The weights of the lowest validation loss so far, and for how many validations they have been."""

    def __init__(self, network: torch.nn.Module):
        self._weights = [parameter.detach() for parameter in network.parameters()]
        self._kept, self._spare = ([weight.clone() for weight in self._weights] for _ in range(2))
        self.loss, self.age = math.inf, 0

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


@contextmanager
def _threads(*, small: bool) -> Iterator[None]:
    """Use one thread inside the block where steps are `small`, and restore the number afterwards."""
    before = torch.get_num_threads()
    try:
        if small:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
