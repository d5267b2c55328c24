"""Groups of cells to answer for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._errors import unknown
from ..._fitted import group_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# The one group of all cells.
ALL = "all"


def members_of(
    adata: AnnData, groupby: str | None, groups: str | Sequence[str] | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the mask of cells of every group, and the names of the groups that are wanted."""
    if groupby is None:
        if groups is not None:
            raise ValueError("groups=... needs the obs column that they are of, groupby=...")
        return {ALL: np.ones(adata.n_obs, dtype=bool)}, [ALL]
    values = group_values(adata, groupby)
    members = {group: (values == group).to_numpy() for group in sorted(values.dropna().unique())}
    if not members:
        raise ValueError(f"No cell has a value in obs[{groupby!r}], so there are no groups.")
    wanted = (
        list(members) if groups is None else [groups] if isinstance(groups, str) else [str(name) for name in groups]
    )
    if not wanted:
        raise ValueError("groups=[] names no group; leave it out for all of them.")
    if missing := [name for name in wanted if name not in members]:
        raise KeyError(unknown("group", missing, members, f"obs[{groupby!r}]"))
    return members, [group for group in members if group in wanted]
