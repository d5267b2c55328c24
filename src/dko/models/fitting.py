"""What a model is fitted with and to, and what a fit leaves: options, schedule, cells, result.

Nothing here knows AnnData, or needs torch: :func:`dko.tl.fit` makes the options and reads the cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from .sharing import all_at_once

if TYPE_CHECKING:
    import pandas as pd

    from .sharing import Each

# With few cells a pass is a step or two, too short to tell progress from noise.
_FEWEST_STEPS = 10


@dataclass(frozen=True)
class Config:
    """Options of a fit: a model declares its own in a subclass, a field each.

    :func:`dko.tl.fit` takes them as keywords and checks their types by the annotations of the fields; what else has to
    hold, ``__post_init__`` checks.
    """

    # Options that are not kept with a fit, as they say nothing of the model.
    unkept: ClassVar[tuple[str, ...]] = ()

    preset: str | None = None

    @classmethod
    def options(cls) -> dict[str, str]:
        """Return the keywords of the model, and what they take."""
        # Types are text where annotations are put off, as they are here.
        return {one.name: getattr(one.type, "__name__", str(one.type)) for one in fields(cls) if one.name != "preset"}

    def check(self, schedule: Schedule) -> None:
        """Raise a ValueError where the schedule does not suit these options."""

    @property
    def params(self) -> dict[str, Any]:
        """The options as they are kept with a fit: text and numbers; of tables and networks, that they were given."""
        given = {name: getattr(self, name) for name in ("preset", *self.options()) if name not in self.unkept}
        return {name: one if one is None or isinstance(one, str | Real) else "given" for name, one in given.items()}


@dataclass(frozen=True)
class ScreenConfig(Config):
    """Options of all models that learn from measured perturbations.

    Attributes
    ----------
    normalize
        Whether values are counts, to be normalised and logged.
    holdout
        Perturbations whose cells are kept out of the fit.
    test_controls
        Share of the control cells that is kept out too.
    min_cells
        Perturbations of fewer cells are left out.
    """

    unkept: ClassVar[tuple[str, ...]] = ("normalize", "holdout")

    normalize: bool = False
    holdout: str | Sequence[str] = ()
    test_controls: float = 0.0
    min_cells: int = 20

    def __post_init__(self) -> None:
        if self.min_cells < 2:
            raise ValueError(
                f"min_cells={self.min_cells} must be at least 2: one cell to train on and one to validate on."
            )

    def known(self, measured: Sequence[str]) -> set[str] | None:
        """Return the genes whose perturbations can be trained on; None: any."""
        return set(measured)


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
    clip
        Largest norm of the gradient, which longer ones are cut to.
    devices, num_nodes
        Devices of each machine, and machines, that share every step; each device has a process.
    """

    # Not kept with a fit, as they say nothing of the model.
    unkept: ClassVar[tuple[str, ...]] = ("devices", "num_nodes")

    batch_size: int
    learning_rate: float
    max_epochs: int | None = None
    max_steps: int | None = None
    patience: int | None = None
    reductions: int = 0
    validate_every: int | None = None
    clip: float | None = None
    devices: int = 1
    num_nodes: int = 1

    @property
    def params(self) -> dict[str, Any]:
        """The schedule as it is kept with a fit."""
        return {name: value for name, value in vars(self).items() if name not in self.unkept}

    @property
    def n_processes(self) -> int:
        """Processes that share every step."""
        return self.devices * self.num_nodes

    def where(self, device: object) -> str:
        """Say where steps are made."""
        return str(device) if self.n_processes == 1 else f"{self.n_processes} x {device}"

    def with_limits(self, **given: Any) -> Schedule:
        """Return the schedule with what a user has given; a limit of one kind takes the place of the other."""
        chosen = {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            if value <= 0:
                raise ValueError(f"{name}={value} must be {'a whole number ' * (name != 'learning_rate')}above 0.")
        if ("max_epochs" in chosen) != ("max_steps" in chosen):
            chosen = {"max_epochs": None, "max_steps": None} | chosen
        return replace(self, **chosen)

    def n_steps(self, n_rows: int) -> int:
        """Return the steps at most for so many training rows."""
        passes = self.max_epochs and self.max_epochs * math.ceil(n_rows / self.batch_size)
        return min(limit for limit in (self.max_steps, passes) if limit is not None)

    def steps_to_validation(self, n_rows: int) -> int:
        """Return the steps between two validations."""
        often = min(math.ceil(n_rows / self.batch_size), self.n_steps(n_rows) // 50)
        return self.validate_every or max(_FEWEST_STEPS, often)


Presets: TypeAlias = Mapping[str | None, tuple[Config, Schedule]]
"""The default (None) and named settings: options, and how to train."""


class Perturbation(NamedTuple):
    """A perturbation of a screen: its cells, what becomes of it, and its genes."""

    n_cells: int
    role: str
    genes: list[str]


@dataclass
class TrainingCells:
    """The cells of a fit.

    Attributes
    ----------
    values
        CSR float32, cells x genes: log-normalised expression of a model that reads ``"log"``, else linear values. Of a
        model that takes them so (``by_rows`` of its class), and of more than fit into memory, rows in a
        scratch file: ``values[rows]`` is CSR in both cases.
    genes
        Names of the columns.
    counts
        Whether linear values are counts.
    groups
        Rows that may be used, by name of the group; ``""`` is the only one without groups. Of a model of
        perturbations, by perturbation, where ``""`` are the control cells.
    split
        Part of each cell: ``"train"``, ``"validation"``, ``"test"`` or ``"unused"``. A fit may set more cells aside.
    everyone
        All cells of each group, also those that take no part in the fit.
    perturbations
        Every perturbation of a screen by name, also those that are not trained on.
    each
        How a model does work on many cells that is not training: here, or by workers (``dko.models.sharing``).
    """

    values: Any
    genes: list[str]
    counts: bool
    groups: dict[str, np.ndarray]
    split: np.ndarray
    everyone: dict[str, np.ndarray] = field(default_factory=dict)
    perturbations: dict[str, Perturbation] = field(default_factory=dict)
    each: Each = all_at_once

    def rows(self, *parts: str, group: str | None = None) -> np.ndarray:
        """Return the rows of some parts of the cells, of one group or of all."""
        rows = np.sort(np.concatenate(list(self.groups.values()))) if group is None else self.groups[group]
        return rows[np.isin(self.split[rows], parts)]


class Fit(NamedTuple):
    """What a fit leaves.

    Attributes
    ----------
    arrays
        All that is learned; of a model per group, with the groups along the first axis.
    histories
        Loss histories by name of the group, or number of the member; ``""`` where there is one alone; none of a model
        that is not trained step by step.
    column
        What these names are: ``"group"`` or ``"member"``.
    params
        What was found out, in plain types, to be kept with what the user has chosen.
    groups, targets
        As in :class:`~dko.models.base.Frame`.
    tables
        Beside the model, by name.
    errors
        Error of each cell, NaN where it is not known; None if the model has none.
    """

    arrays: dict[str, np.ndarray]
    histories: Mapping[str, pd.DataFrame] = {}
    column: str = "group"
    params: Mapping[str, Any] = {}
    groups: Sequence[str] = ()
    targets: Sequence[str] = ()
    tables: Mapping[str, pd.DataFrame] = {}
    errors: np.ndarray | None = None
