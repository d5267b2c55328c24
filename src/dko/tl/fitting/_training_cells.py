"""Which cells may train, and which model they train."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._errors import listed, unknown
from ..._groups import group_values, grouping
from ..._log import logger

if TYPE_CHECKING:
    from anndata import AnnData

# Two or three cells to learn from, one to validate on, one to test on, with the customary fractions.
MIN_CELLS = 5


def training_cells(
    adata: AnnData, groupby: str | None, perturbation_key: str | None, control: str | int | bool | None
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


def _unperturbed(adata: AnnData, perturbation_key: str | None, control: str | int | bool | None) -> np.ndarray:
    if perturbation_key is None:
        if control is not None:
            raise ValueError(f"control={control!r} needs perturbation_key=..., the obs column that it stands in.")
        return np.ones(adata.n_obs, dtype=bool)
    values = group_values(adata, perturbation_key)
    if control is None:
        raise ValueError(f"perturbation_key={perturbation_key!r} needs control=..., its value for unperturbed cells.")
    control = str(control)
    if control not in set(values):
        raise KeyError(unknown("value", [control], values.dropna().unique(), f"obs[{perturbation_key!r}]"))
    return (values == control).to_numpy()
