"""Groups of cells to answer for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.groups import grouping, names_in

if TYPE_CHECKING:
    from anndata import AnnData

    from ..._core.groups import Names

# The one group of all cells.
ALL = "all"


def members_of(adata: AnnData, groupby: str | None, groups: Names | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the mask of cells of every group, and the names of the groups that are wanted."""
    if groupby is None:
        if groups is not None:
            raise ValueError("groups=... needs the obs column that they are of, groupby=...")
        return {ALL: np.ones(adata.n_obs, dtype=bool)}, [ALL]
    names, numbers = grouping(adata, groupby)
    members = {group: numbers == number for number, group in enumerate(names)}
    if not members:
        raise ValueError(f"No cell has a value in obs[{groupby!r}], so there are no groups.")
    wanted = members if groups is None else names_in(groups, members, f"obs[{groupby!r}]")
    return members, [group for group in members if group in wanted]
