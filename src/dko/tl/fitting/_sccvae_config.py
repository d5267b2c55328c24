"""What an SCCVAE is made of and trained with: a preset, and what a user overrides."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ._schedule import overridden

if TYPE_CHECKING:
    from ...models._training import Schedule
    from ...models.sccvae import Config, FeaturesOf


@dataclass(frozen=True)
class Settings:
    """What a fit is asked for, checked, with the defaults of its preset.

    Attributes
    ----------
    config, schedule
        What to train, and how long.
    n_members
        Models to fit and average.
    features, n_components
        See `features_of`.
    """

    config: Config
    schedule: Schedule
    n_members: int
    features: FeaturesOf
    n_components: int


def settings_of(
    preset: str | None,
    *,
    n_members: int | None,
    features: FeaturesOf | None,
    n_components: int | None,
    batch_size: int | None,
    limits: dict[str, Any],
    of_model: dict[str, Any],
) -> Settings:
    """Return the settings of a preset with what the user has given: `limits` of the schedule, fields `of_model`."""
    from ...models.sccvae import check_features

    config = configuration(preset, batch_size, of_model)
    schedule = overridden(schedule_of(preset, config, batch_size), **limits)
    members = number_of_members(preset, n_members)
    published = preset == "paper"
    if features is None:
        features = "pca" if published else "influence"
    check_features(features)
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components={n_components} must be at least 1.")
    return Settings(config, schedule, members, features, n_components or (50 if published else 20))


# Keywords of the fit, beside those of the model itself, and what they take.
_OF_FIT = {
    "normalize": "bool",
    "holdout": "str | Sequence[str]",
    "test_controls": "float",
    "min_cells": "int",
    "features": "FeaturesOf | None",
    "n_components": "int | None",
    "graph": "Graph",
    "n_members": "int | None",
}


def keywords() -> dict[str, str]:
    """Return the keywords of :func:`dko.tl.fit` that are for this model alone, and what they take."""
    from ...models.sccvae import Config

    return _OF_FIT | {field.name: str(field.type) for field in fields(Config)}


def configuration(preset: str | None, batch_size: int | None, of_model: dict[str, Any]) -> Config:
    """Return the configuration of a preset with the fields that the user has given."""
    from ...models.sccvae import PAPER, Config

    presets = {None: Config(), "paper": PAPER}
    if preset not in presets:
        raise ValueError(f"No preset {preset!r}; choose 'paper' or leave it out.")
    config = replace(presets[preset], **of_model)
    if batch_size is not None and batch_size < 2 * config.groups:
        raise ValueError(
            f"batch_size={batch_size} must be at least {2 * config.groups}: 2 cells of each of {config.groups} groups."
        )
    return config


def number_of_members(preset: str | None, n_members: int | None) -> int:
    """Return how many models are fitted and averaged: three, or the one of the publication."""
    if n_members is None:
        return 1 if preset == "paper" else 3
    if n_members < 1:
        raise ValueError(f"n_members={n_members!r} must be a whole number, at least 1.")
    return int(n_members)


def schedule_of(preset: str | None, config: Config, batch_size: int | None) -> Schedule:
    """Return how long, and in which steps, a preset trains."""
    from ...models._training import Schedule

    size = batch_size or 32 * config.groups
    if preset == "paper":
        return Schedule(batch_size=size, learning_rate=5e-4, max_epochs=100, clip=1.0)
    return Schedule(batch_size=size, learning_rate=1e-3, max_steps=1_500, patience=10, reductions=1, clip=1.0)
