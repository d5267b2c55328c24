"""Groups of cells: what a column of ``obs`` holds, and which cells a user means."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from . import keys
from .cells import require_unique, unwrap
from .messages import listed, logger, many, say, shown, unknown
from .scale import once

if TYPE_CHECKING:
    from .._typing import AnnData, Fitted, MuData


Name: TypeAlias = str | int | float | bool
Names: TypeAlias = Name | Sequence[Name]
Groups: TypeAlias = Names | Mapping[str, Names] | np.ndarray | pd.Series | None

# The one group of all cells, where it needs a name.
ALL = "all"

# How missing values are spelled where something has turned a column into text.
MISSING = frozenset({"", "nan", "NaN", "None", "<NA>"})


COMBINE = (
    "; to group by several columns, combine them first: "
    "adata.obs['both'] = adata.obs['a'].astype(str) + ' ' + adata.obs['b'].astype(str)"
)


def group_values(adata: AnnData, column: str, keep: Collection[str] = ()) -> pd.Series:
    """Return an ``obs`` column as strings; missing values, also if just spelled so, are None, but those to `keep`."""
    values = _column(adata, column)
    text = values.astype("string").astype(object)
    return text.where(values.notna() & ~text.isin(MISSING - set(keep)), None)


def _column(adata: AnnData, column: str) -> pd.Series:
    if not isinstance(column, str):
        raise TypeError(f"A column of adata.obs is named by one string, got {shown(column)}{COMBINE}.")
    if column not in adata.obs:
        raise KeyError(unknown("column", [column], adata.obs.columns, "adata.obs"))
    values = adata.obs[column]
    if values.ndim > 1:
        raise ValueError(f"adata.obs has {values.shape[1]} columns named {column!r}; rename all but one.")
    return values


def grouping(adata: AnnData, groupby: str | None, among: np.ndarray | None = None) -> tuple[list[str], np.ndarray]:
    """Return the sorted names of the groups (``""`` without `groupby`), and the number of each cell's, -1: none."""
    if groupby is None:
        return [""], np.zeros(adata.n_obs, dtype=int) if among is None else np.where(among, 0, -1)
    values = group_values(adata, groupby)
    if among is not None:
        values = values.where(among, None)
    names = sorted(values.dropna().unique())
    if not names:
        chosen = "" if among is None else "chosen "
        raise ValueError(f"No {chosen}cell has a value in obs[{groupby!r}], so there are no groups.")
    _require_groups(_column(adata, groupby), len(names), int(values.notna().sum()))
    if (missing := group_values(adata, groupby).isna()).any():
        texts = _column(adata, groupby)[missing].astype("string")
        spelled = [*["missing"] * bool(texts.isna().any()), *map(repr, texts.dropna().unique())]
        text = f"{missing.sum():,} cells are in no group, as obs[{groupby!r}] is {' or '.join(spelled)} there."
        once(adata, text, say)
    return names, pd.Index(names, dtype=object).get_indexer(values)


def masks_of(adata: AnnData, groupby: str | None, groups: Names | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the mask of cells of every group, and the names of the groups that a user wants; all by default."""
    if groupby is None and groups is not None:
        raise ValueError("groups=... needs the obs column that they are of, groupby=...")
    names, numbers = grouping(adata, groupby)
    members = {name or ALL: numbers == number for number, name in enumerate(names)}
    wanted = members if groups is None else names_in(groups, members, f"obs[{groupby!r}]")
    return members, [group for group in members if group in wanted]


def group_of_cells(adata: AnnData, groupby: str) -> np.ndarray:
    """Return the name of the group of each cell, None for cells of none."""
    names, numbers = grouping(adata, groupby)
    return np.array([*names, None], dtype=object)[numbers]


# Up to so many cells, each may be a group.
_FEW_CELLS = 20


def _require_groups(values: pd.Series, n_groups: int, n_cells: int) -> None:
    """Refuse measurements and names of cells, which are no groups."""
    numbers = values.dropna() if pd.api.types.is_float_dtype(values) else pd.Series(dtype=float)
    continuous = bool((numbers % 1 != 0).any())
    if n_groups > _FEW_CELLS and (continuous or n_groups == n_cells):
        what = "measurements" if continuous else "a name for every cell"
        raise ValueError(
            f"obs[{values.name!r}] holds {what} ({n_groups} values in {n_cells} cells), not groups; name a column of "
            "groups, or cut it into some with pd.cut."
        )


def name_in(value: Any, known: Collection[str]) -> str:
    """Return a name as a column spells it: numbers are found by value, 0 as ``"0"`` and as ``"0.0"``."""
    name = str(value)
    number = _number(name) if isinstance(value, str | Real) else None
    if name in known or number is None:
        return name
    same = [one for one in known if _number(one) == number]
    return same[0] if len(same) == 1 else name


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?", text) else None


def names_in(names: Any, known: Collection[str], where: str) -> list[str]:
    """Return names of groups, one or several, as a column spells them; KeyError: not there."""
    given = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    if not given:
        raise ValueError("groups=[] names no group; leave it out for all of them.")
    found = [name_in(name, known) for name in given]
    if missing := [name for name in found if name not in known]:
        message = unknown("group", missing, known, where)
        if spelled := sorted(MISSING.intersection(missing)):
            message = f"No group {listed(spelled)} in {where}: it is how a missing value is spelled."
        raise KeyError(message if message.endswith("?") else f"{message} There are {listed(sorted(known), 20)}.")
    return found


def select_cells(data: AnnData | MuData, mod: str, groupby: str | None, groups: Groups) -> np.ndarray:
    """Turn what a user says about cells (names of `groupby`, a mapping, a boolean array or Series) into a mask."""
    adata = unwrap(data, mod)
    if groups is None:
        return np.ones(adata.n_obs, dtype=bool)
    if isinstance(groups, np.ndarray | pd.DataFrame) and (groups.ndim != 1 or groups.dtype.kind not in "bOUST"):
        raise ValueError(_no_mask(adata, groups))
    if isinstance(groups, Iterable) and not isinstance(groups, str | Mapping):
        groups = groups if isinstance(groups, pd.Series) else list(groups)
        if pd.api.types.infer_dtype(groups, skipna=True) == "boolean":
            return _mask(data, adata, groups)
    if not isinstance(groups, Mapping):
        if groupby is None:
            raise ValueError(
                "groups=... by name needs a fit with groupby=...; name the column instead, groups={'column': [...]}."
            )
        groups = {groupby: groups}
    mask = np.ones(adata.n_obs, dtype=bool)
    for column, names in groups.items():
        values = group_values(adata, column)
        mask &= values.isin(names_in(names, set(values.dropna()), f"obs[{column!r}]")).to_numpy()
    return mask


def _no_mask(adata: AnnData, got: np.ndarray | pd.DataFrame) -> str:
    kind = f"{got.dtype} " if isinstance(got, np.ndarray) else "a table "
    return (
        f"groups as an array needs one boolean per cell ({adata.n_obs}), got {kind}{got.shape}; groups are named by a "
        "list, rows chosen by adata.obs_names.isin(...)."
    )


def _mask(data: AnnData | MuData, adata: AnnData, mask: Sequence[bool] | pd.Series) -> np.ndarray:
    values = pd.array(mask, dtype="boolean")
    if values.isna().any():
        raise ValueError(f"groups has {values.isna().sum()} missing values among its booleans; fill them first.")
    if isinstance(mask, pd.Series):
        return values.to_numpy(dtype=bool)[_rows_by_name(adata, mask.index)]
    if adata is not data and len(mask) == data.n_obs and not data.obs_names.equals(adata.obs_names):
        raise ValueError(
            "groups is an array in the order of the MuData's cells, which is not that of its modality; make it from "
            "the obs of the modality, mdata[mod].obs, or give a Series of booleans, which is matched by name."
        )
    if len(mask) != adata.n_obs:
        raise ValueError(_no_mask(adata, np.asarray(mask)))
    return values.to_numpy(dtype=bool)


def _rows_by_name(adata: AnnData, names: pd.Index) -> np.ndarray:
    """Find the cells of an AnnData in the index of a Series, whatever its order."""
    if names.equals(adata.obs_names):
        return np.arange(adata.n_obs)
    require_unique(adata.obs_names, "obs_names")
    if not names.is_unique:
        raise ValueError("groups, a Series, names cells more than once; call adata.obs_names_make_unique() first.")
    rows = names.get_indexer(adata.obs_names)
    if gone := int((rows < 0).sum()):
        raise ValueError(
            f"groups, a Series, lacks {gone} of the {adata.n_obs} cells: {listed(adata.obs_names[rows < 0])}; make it "
            "from adata.obs, or give an array with one boolean per cell."
        )
    return rows


# Up to this part of the cells, or fewer than so many, may have been corrected by hand.
_PART, _FEW = 0.1, 5


def membership(adata: AnnData, groupby: str, groups: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what is kept of the groups of a fit: for each of their cells a hash of its name and its group."""
    numbers = pd.Index(groups, dtype=object).get_indexer(group_values(adata, groupby, keep=groups))
    rows = np.flatnonzero(numbers >= 0)
    return {keys.NAMES: _hashes(adata.obs_names[rows]), keys.GROUP: numbers[rows].astype(np.int32)}


def _hashes(names: pd.Index) -> np.ndarray:
    return pd.util.hash_array(names.to_numpy(dtype=object))


def models_of(adata: AnnData, fitted: Fitted, cells: np.ndarray) -> np.ndarray:
    """Return the number of the model of each of the `cells`, -1: none; ValueError: groups are no longer the fit's."""
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
        say(f"Left out, without a model: {many(without.sum(), 'cell')} ({each}{', ...' * (len(n_of) > 5)}).")
    return np.where(cells, numbers, -1)


def _check_groups(adata: AnnData, fitted: Fitted, values: pd.Series, numbers: np.ndarray) -> None:
    """Refuse groups if many cells of the fit, found by name, are in another one now; warn of a few that are."""
    before = _fitted_in(adata, fitted.cells)
    known = (before >= 0) & values.notna().to_numpy()
    moved = known & (numbers != before)
    n, n_known, groupby = int(moved.sum()), int(known.sum()), fitted.params["groupby"]
    if n and n < max(_PART * n_known, _FEW):
        logger.warning(
            "%d of %d cells of the fit have another group in obs[%r] than at the fit; the model of their "
            "present group is used, if there is one.",
            n,
            n_known,
            groupby,
        )
    elif n:
        moves = pd.DataFrame({"old": before[moved], "new": values[moved].to_numpy()}).value_counts().head(3)
        each = ", ".join(f"{count} of {fitted.groups[old]!r} are in {new!r}" for (old, new), count in moves.items())
        raise ValueError(
            f"obs[{groupby!r}] does not hold the groups of the fit any more: {n} of its {n_known} cells are in another "
            f"({each}); give the groups their old names back, or fit again."
        )


def _fitted_in(adata: AnnData, record: dict[str, Any]) -> np.ndarray:
    """Return the number of the group of each cell at the fit; -1 where it is unknown or its name not unique."""
    unknown = np.full(adata.n_obs, -1)
    if not record:
        return unknown
    groups = pd.Series(record[keys.GROUP], index=record[keys.NAMES])
    groups = groups[~groups.index.duplicated(keep=False)]
    names = pd.Index(_hashes(adata.obs_names))
    found = groups.reindex(names, fill_value=-1).to_numpy(copy=True)
    found[names.duplicated(keep=False)] = -1
    # Barcodes of another sample are the same in a few cells by chance, of which nothing follows.
    return unknown if 2 * (found >= 0).sum() < min(len(groups), adata.n_obs) else found
