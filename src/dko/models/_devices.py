"""Training on several devices, a process each: those that a launcher has started, or some that are started here."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

from .._core.messages import logger
from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    import numpy as np
    from lightning_fabric.plugins.environments import ClusterEnvironment

    from ._training import Trained
    from .fitting import Schedule

    R = TypeVar("R")


@contextmanager
def _as_asked() -> Iterator[None]:
    """Make a Fabric as it is asked for here, and not as ``fabric run`` was asked for one of the script."""
    taken = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("LT_")}
    try:
        yield
    finally:
        os.environ |= taken


@_as_asked()
def fabric_on(device: torch.device, schedule: Schedule) -> Fabric:
    """Return what moves, differentiates and steps: this process alone, or as one of those of the schedule."""
    environment = _launcher(schedule)
    if environment is None:
        # Without the plugin, Fabric would take its tasks from the batch system that it runs under.
        index = 1 if device.index is None or device.type == "cpu" else [device.index]
        return Fabric(accelerator=device.type, devices=index, plugins=[LightningEnvironment()])
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells how processes find each other
    how: Any = {"devices": schedule.devices, "num_nodes": schedule.num_nodes, "strategy": "ddp"}
    fabric = Fabric(accelerator=device.type, plugins=[environment], **how)
    fabric.launch()
    return fabric


def _environment() -> ClusterEnvironment | None:
    """Return what a launcher tells the processes that it has started; None where none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is srun, and it was not used
        found = next((kind for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect()), None)
        return None if found is None else found()


def _launcher(schedule: Schedule) -> ClusterEnvironment | None:
    """Return the launcher that has started the processes of the schedule, if they are several and one has."""
    environment = None if schedule.n_processes == 1 else _environment()
    return None if environment is None or environment.world_size() == 1 else environment


def check_devices(device: torch.device, schedule: Schedule) -> None:
    """Raise a ValueError where there are not so many devices, or other than so many processes were started."""
    if schedule.n_processes == 1:
        return
    devices, nodes = schedule.devices, schedule.num_nodes
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and device.index is not None):
        raise ValueError(f"device='{device}' is one device; choose 'cuda' or 'cpu', of which there may be several.")
    if device.type == "cuda" and devices > (there := torch.cuda.device_count()):
        raise ValueError(f"devices={devices} are more than the {there} that CUDA finds here.")
    if environment := _launcher(schedule):
        if (started := environment.world_size()) != schedule.n_processes:
            raise ValueError(f"devices={devices}, num_nodes={nodes} are not the {started} processes that were started.")
    elif nodes > 1:
        raise ValueError(
            f"num_nodes={nodes} needs a process per device on every node, from torchrun, srun or fabric run; here none "
            "of them has started any."
        )


@contextmanager
def as_one(device: torch.device, schedule: Schedule, rng: np.random.Generator) -> Iterator[np.random.Generator]:
    """Draw the same random numbers in all processes that a launcher has started; only the first of them says anything.

    In a process alone, these are those of the generator itself.
    """
    if _launcher(schedule) is None:
        yield rng
        return
    fabric, disabled = fabric_on(device, schedule), logger.disabled
    logger.disabled = disabled or fabric.global_rank > 0
    try:
        with settings.override(verbosity=0) if fabric.global_rank else nullcontext():
            yield fabric.broadcast(rng)
    finally:
        logger.disabled = disabled


def on_devices(
    function: Callable[..., tuple[R, Trained]], *args: Any, device: torch.device, schedule: Schedule, **how: Any
) -> tuple[R, Trained]:
    """Call a function that trains, once or in every process of the schedule; return what it returns in the first."""
    how |= {"device": device, "schedule": schedule}
    if schedule.n_processes == 1 or _launcher(schedule):
        return function(*args, **how)
    from ._spawn import in_processes

    found, interrupted = in_processes(function, args, how, schedule.devices)
    # Otherwise it came too late for the training to stop, but not for the user.
    if interrupted and not found[1].interrupted:
        raise KeyboardInterrupt
    return found
