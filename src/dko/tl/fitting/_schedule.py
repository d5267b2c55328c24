"""How long and in which steps a fit trains: the presets, and what a user overrides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...models._training import Schedule


def schedule(preset: str | None, **chosen: Any) -> Schedule:
    """Return the schedule of a preset with the values that the user has given.

    ``"paper"`` is arXiv 2510.03359: 5,000 steps of 20 cells, step size 0.01, validation after every step, no early
    end. None is the default: passes over the cells, with smaller steps in the end, until the validation loss no longer
    falls.
    """
    from ...models._training import Schedule

    presets = {
        "paper": Schedule(batch_size=20, learning_rate=0.01, max_steps=5_000, validate_every=1),
        None: Schedule(batch_size=64, learning_rate=0.004, max_steps=5_000, patience=3, reductions=2),
    }
    if preset not in presets:
        raise ValueError(f"No preset {preset!r}; choose 'paper' or leave it out.")
    return overridden(presets[preset], **chosen)


def overridden(preset: Schedule, **chosen: Any) -> Schedule:
    """Return a schedule with the values that a user has given; a limit of one kind takes the place of the other."""
    given = {name: value for name, value in chosen.items() if value is not None}
    if "max_epochs" in given and "max_steps" not in given:
        given["max_steps"] = None
    elif "max_steps" in given and "max_epochs" not in given:
        given["max_epochs"] = None
    for name, value in given.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name}={value} must be {'a whole number ' * (name != 'learning_rate')}above 0.")
    return replace(preset, **given)
