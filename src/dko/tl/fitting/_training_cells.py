"""Which cells may train, and which model they train."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.groups import grouping
from ..._core.messages import listed, logger
from ..._core.names import perturbations

if TYPE_CHECKING:
    from anndata import AnnData

# Two or three cells to learn from, one to validate on, one to test on, with the customary fractions.
MIN_CELLS = 5


def training_cells(
    adata: AnnData, groupby: str | None, perturbation_key: str | None, control: str | None
) -> dict[str, np.ndarray]:
    """Return the rows that may train, for each model; without `groupby` there is one model, named ''."""
    usable = _unperturbed(adata, perturbation_key, control)
    names, group_of = grouping(adata, groupby, usable)
    groups = {name: np.flatnonzero(group_of == number) for number, name in enumerate(names)}
    small = {name: len(rows) for name, rows in groups.items() if len(rows) < MIN_CELLS}
    if len(small) == len(groups):
        most = max(small.values(), default=0)
        raise ValueError(
            f"A fit needs at least {MIN_CELLS} {'cells' if perturbation_key is None else 'unperturbed cells'}"
            f"{' in a group' if groupby else ''}, got {most}."
        )
    if small:
        logger.warning("Groups of fewer than %d cells get no model: %s.", MIN_CELLS, listed(small))
    return {name: rows for name, rows in groups.items() if name not in small}


def _unperturbed(adata: AnnData, perturbation_key: str | None, control: str | None) -> np.ndarray:
    if perturbation_key is None or control is None:
        return np.ones(adata.n_obs, dtype=bool)
    return (perturbations(adata, perturbation_key, control, adata.var_names) == control).to_numpy()
