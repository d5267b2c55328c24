"""Which model each cell uses, and whether its group is still the one at the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import _keys
from ._errors import listed
from ._groups import group_values, name_in
from ._log import logger, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ._fitted import Fitted

# Fewer cells than a model needs may have been corrected by hand, and no more than this part of the cells.
_FEW, _PART = 5, 0.1


def membership(adata: AnnData, groupby: str, groups: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what is kept of the groups of a fit: for each of their cells a hash of its name and its group."""
    numbers = pd.Index(groups, dtype=object).get_indexer(group_values(adata, groupby, keep=groups))
    rows = np.flatnonzero(numbers >= 0)
    return {_keys.NAMES: _hashes(adata.obs_names[rows]), _keys.GROUP: numbers[rows].astype(np.int32)}


def _hashes(names: pd.Index) -> np.ndarray:
    return pd.util.hash_array(names.to_numpy(dtype=object))


def models_of(adata: AnnData, fitted: Fitted, cells: np.ndarray) -> np.ndarray:
    """Return the number of the model of each of the chosen `cells`; -1 for others, and for cells that have none.

    Raises
    ------
    ValueError
        The groups are not those of the fit any more.
    """
    if not fitted.groups:
        return np.where(cells, 0, -1)
    groupby = fitted.params["groupby"]
    values = group_values(adata, groupby, keep=fitted.groups)
    # A column of numbers may have become one of floats since the fit.
    values = values.map({name: name_in(name, fitted.groups) for name in values.dropna().unique()}).astype(object)
    numbers = pd.Index(fitted.groups, dtype=object).get_indexer(values)
    _check_groups(adata, fitted, values, numbers)
    if (numbers < 0).all():
        raise ValueError(
            f"No cell has the name of a group of the fit ({listed(fitted.groups)}) in obs[{groupby!r}], which has "
            f"{listed(sorted(values.dropna().unique())) or 'missing values only'}; rename them, or fit again."
        )
    if (without := cells & (numbers < 0)).any():
        n_of = values[without].value_counts(dropna=False)
        named = ["without a group" if pd.isna(name) else f"of {name!r}" for name in n_of.index]
        each = ", ".join(f"{n} {name}" for n, name in zip(n_of.head(5), named, strict=False))
        say(f"{without.sum()} cells have no model and are left out ({each}{', ...' * (len(n_of) > 5)}).")
    return np.where(cells, numbers, -1)


def _check_groups(adata: AnnData, fitted: Fitted, values: pd.Series, numbers: np.ndarray) -> None:
    """Refuse groups whose cells of the fit, found by name, are mostly elsewhere now; warn of single cells that are."""
    before = _fitted_in(adata, fitted.cells)
    known = (before >= 0) & values.notna().to_numpy()
    moved = known & (numbers != before)
    if not moved.any():
        return
    n_known, n_moved = (np.bincount(before[some], minlength=len(fitted.groups)) for some in (known, moved))
    gone = (n_moved > n_known / 2) & (n_moved >= _FEW)
    groupby, n = fitted.params["groupby"], int(moved.sum())
    if not gone.any() and n < max(_PART * known.sum(), _FEW):
        logger.warning(
            "%d of %d cells of the fit have another group in obs[%r] than at the fit; the model of their "
            "present group is used, if there is one.",
            n,
            known.sum(),
            groupby,
        )
        return
    moves = pd.DataFrame({"old": before[moved], "new": values[moved].to_numpy()}).value_counts()
    each = ", ".join(f"{count} of {fitted.groups[old]!r} are in {new!r}" for (old, new), count in moves.head(3).items())
    raise ValueError(
        f"obs[{groupby!r}] does not hold the groups of the fit any more: {n} of its {known.sum()} cells are in another "
        f"({each}{', ...' * (len(moves) > 3)}); give the groups their old names back, or fit again."
    )


def _fitted_in(adata: AnnData, record: dict[str, Any]) -> np.ndarray:
    """Return the number of the group of each cell at the fit; -1 where it is unknown or uncertain."""
    if not record:
        return np.full(adata.n_obs, -1)
    groups = pd.Series(record[_keys.GROUP], index=record[_keys.NAMES]).groupby(level=0).agg(["first", "nunique"])
    groups = groups.loc[groups["nunique"] == 1, "first"]
    names = pd.Index(_hashes(adata.obs_names))
    rows = groups.index.get_indexer(names)
    # A repeated name may be that of another cell.
    rows[names.duplicated(keep=False)] = -1
    # Barcodes of another sample are the same in a few cells by chance, of which nothing follows.
    if 2 * (rows >= 0).sum() < min(len(groups), adata.n_obs):
        return np.full(adata.n_obs, -1)
    return np.where(rows < 0, -1, groups.to_numpy()[rows]) if len(groups) else np.full(adata.n_obs, -1)
