"""Where arithmetic runs, rows of a CSR matrix as dense tensors there, and the training loop of every model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from .._core.messages import bar, logger
from .._core.process import ahead, uninterrupted
from .._settings import settings
from ._transfer import dense

if TYPE_CHECKING:
    from typing import TypeVar

    from lightning_fabric import Fabric

    from .fitting import Schedule
    from .rows import Rows

    T = TypeVar("T")

Loader: TypeAlias = Callable[[np.ndarray | None], Iterable[Any]]
"""Order of the rows, or None as they come -> batches on the device."""

Share: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Rows of a batch -> those that this process takes."""

# Multiplications per pass forward below which one thread makes a step: in well under a tenth of a second. A second one
# gains little there, and on a busy machine the first waits for it many times a step, at full use of its core.
_SMALL_STEP = 2**30
# What the step size is multiplied with when it is cut.
_CUT = 0.3


def resolve_device(device: str = "auto") -> torch.device:
    """Return the torch device meant by a name; ``"auto"`` asks the settings, then takes CUDA, MPS or the CPU."""
    name = settings.device if device == "auto" else device
    if name != "auto":
        try:
            # Making a tensor finds out whether the device is there, and not only whether its name is known.
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ValueError(f"device={name!r} cannot be used here ({reason}); use 'auto' or 'cpu'.") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def rows_on(matrix: Rows, device: torch.device) -> Callable[[np.ndarray], torch.Tensor]:
    """Return a function from numbers of rows to these rows, dense, on `device`: at once if memory allows."""
    if not _fits(matrix):
        return lambda rows: dense(matrix[rows], device)
    whole = dense(matrix[:], device)
    return lambda rows: whole[torch.from_numpy(rows).to(device)]


def _fits(matrix: Rows) -> bool:
    return 4 * matrix.shape[0] * matrix.shape[1] <= settings.memory_budget


def streamed(batches: Iterator[T], matrix: Rows) -> Iterator[T]:
    """Return batches of rows of a matrix, read ahead where these are not all on the device."""
    return batches if _fits(matrix) else ahead(batches)


def loader(matrix: Rows, batch_size: int, device: torch.device, share: Share = lambda batch: batch) -> Loader:
    """Return a function that yields the rows, in a given order or as they come, dense, `batch_size` at a time.

    Of several processes, each has a `share` of them.
    """
    gather = rows_on(matrix, device)

    def load(order: np.ndarray | None = None) -> Iterator[torch.Tensor]:
        rows = np.arange(matrix.shape[0]) if order is None else order
        shares = (share(rows[start : start + batch_size]) for start in range(0, len(rows), batch_size))
        return streamed(map(gather, shares), matrix)

    return load


def share_of(fabric: Fabric) -> Share:
    """Return what takes the share of this process from a batch."""
    return lambda batch: batch[fabric.global_rank :: fabric.world_size]


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the weights: the loss history, and whether the user stopped it."""

    history: pd.DataFrame
    interrupted: bool


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
    and keeps the best weights; before the first validation there are none, and it goes on to the caller. Several
    processes average gradients and losses, so that they decide alike; they end at the validation after Ctrl-C.
    """
    model, stepper = fabric.setup(network, optimizer)
    n_steps, every = schedule.n_steps(n_rows), schedule.steps_to_validation(n_rows)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    kept, best, age, cuts, interrupted = _copied(weights), math.inf, 0, 0, False
    history: list[tuple[int, int, float, float]] = []
    # The losses of the steps since the last validation; on the device, as reading each of them would wait for it.
    losses: list[torch.Tensor] = []
    passes = ((epoch, batch) for epoch in count(1) for batch in training(rng.permutation(n_rows)))
    small = schedule.batch_size * sum(weight.numel() for weight in weights) < _SMALL_STEP
    threads = torch.get_num_threads()
    with_others: AbstractContextManager[list[int]] = uninterrupted() if fabric.world_size > 1 else nullcontext([])
    with bar(total=n_steps, description=label, unit="step", leave=False) as shown, with_others as pressed:
        try:
            if small:
                torch.set_num_threads(1)
            for step, (epoch, batch) in enumerate(islice(passes, n_steps), start=1):
                loss = _mean(model(batch), fabric)
                stepper.zero_grad()
                fabric.backward(loss)
                if schedule.clip is not None:
                    fabric.clip_gradients(model, stepper, max_norm=schedule.clip, error_if_nonfinite=False)
                stepper.step()
                losses.append(loss.detach())
                if step % every and step != n_steps:
                    continue
                means = [torch.stack(losses).mean(), _mean_loss(model, validation, fabric)]
                train_loss, validation_loss, stop = _over_processes([*means, means[0].new_tensor(len(pressed))], fabric)
                if not math.isfinite(validation_loss):
                    raise FloatingPointError(
                        f"The loss is no longer a number after {step} steps; try a smaller learning_rate "
                        f"(it is {schedule.learning_rate})."
                    )
                history.append((step, epoch, train_loss, validation_loss))
                age += 1
                if validation_loss < best:
                    kept, best, age = _copied(weights), validation_loss, 0
                if shown.update(len(losses)):
                    shown.set_postfix(loss=f"{validation_loss:.4f}", best=f"{best:.4f}")
                losses.clear()
                if stop:
                    pressed.clear()
                    raise KeyboardInterrupt
                if schedule.patience is None or age < schedule.patience:
                    continue
                if cuts == schedule.reductions:
                    break
                _restore(weights, kept)
                for group in optimizer.param_groups:
                    group["lr"] *= _CUT
                cuts, age = cuts + 1, 0
        except KeyboardInterrupt:
            if not history:
                raise
            interrupted = True
            logger.warning("%s: stopped by the user after %d steps, at the best weights so far.", label, history[-1][0])
        finally:
            passes.close()  # and with it the thread that reads ahead
            torch.set_num_threads(threads)
    _restore(weights, kept)
    network.to("cpu")
    columns = ["step", "epoch", "train_loss", "validation_loss"]
    return Trained(pd.DataFrame(history, columns=columns), interrupted)


@torch.inference_mode()
def _mean_loss(model: torch.nn.Module, validation: Loader, fabric: Fabric) -> torch.Tensor:
    model.eval()
    losses = [model(batch) for batch in validation(None)]
    model.train()
    return _mean(torch.cat(losses), fabric)


def _mean(losses: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    """Return the mean loss; of several processes, what has the mean over the rows of all as its mean over processes."""
    if fabric.world_size == 1:
        return losses.mean()
    n_rows = losses.new_full((), len(losses))
    torch.distributed.all_reduce(n_rows)  # Fabric's waits for the device
    return losses.sum() * (fabric.world_size / n_rows)


def _over_processes(numbers: Sequence[torch.Tensor], fabric: Fabric) -> list[float]:
    """Return the means of some numbers over all processes; this waits for the device."""
    means: Any = fabric.all_reduce(torch.stack(list(numbers)))
    return means.tolist()


def _copied(weights: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in weights]


@torch.no_grad()
def _restore(weights: list[torch.nn.Parameter], kept: list[torch.Tensor]) -> None:
    for weight, value in zip(weights, kept, strict=True):
        weight.copy_(value)
