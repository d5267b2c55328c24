"""Perturbations that a model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core import keys
from ..._core.names import DROPPED, HELD_OUT, TRAINED
from .._blocks import Column, Section
from .._table import table

if TYPE_CHECKING:
    from .._run import Run

_COLUMNS = (
    Column("perturbation", "perturbation", "gene"),
    Column("n_cells", "cells", "count"),
    Column("role", "role", "text"),
    Column("strength", "strength", note="length of the shift of the latent state, as trained"),
)


def perturbations(run: Run) -> Section:
    """List what became of each perturbation."""
    found = run.fitted.table(keys.PERTURBATIONS)
    n_of = ", ".join(f"{(found['role'] == role).sum():,} {role}" for role in (TRAINED, HELD_OUT, DROPPED))
    ordered = found.sort_values("strength", ascending=False, kind="stable", na_position="last")
    return Section(
        "perturbations",
        "Perturbations",
        f"What became of the perturbations of the screen: {n_of}. Those that were held out are predicted, not learned; "
        "those that were dropped have too few cells, or genes of which nothing is known.",
        [table(ordered, _COLUMNS, "Perturbations, the strongest first")],
        f"adata.uns[{run.key!r}][{keys.PERTURBATIONS!r}]",
    )
