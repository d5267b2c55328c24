"""Results of a model of perturbations as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import best_loss, read_fitted
from .._core.names import DROPPED, HELD_OUT, TRAINED
from ._tables import aligned

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_N_ROWS = 20
_N_NAMES, _N_MARKERS = 4, 4


def perturbation_table(data: AnnData | MuData, *, key: str, mod: str = "rna") -> str:
    """List what became of the perturbations of a fit, the strongest of each role first, below its validation loss."""
    table = read_fitted(unwrap(data, mod), key).table(keys.PERTURBATIONS)
    loss = best_loss(get.history(data, key=key, mod=mod))
    n_of = ", ".join(f"{(table['role'] == role).sum()} {role}" for role in (TRAINED, HELD_OUT, DROPPED))
    title = f"Perturbations: {n_of}. Validation loss: {loss:.4f}"
    table = table.sort_values("strength", ascending=False, kind="stable", na_position="last")
    # Those that were kept out are weak, and would never be among the strongest of many.
    others = table[table["role"] != TRAINED].index[: _N_ROWS // 2]
    trained = table[table["role"] == TRAINED].index[: _N_ROWS - len(others)]
    shown = table.loc[[*trained, *others]].rename(columns={"n_cells": "cells"})[
        ["perturbation", "cells", "role", "strength"]
    ]
    text = f"{title}\n{aligned(shown, missing='')}"
    left = len(table) - len(shown)
    return f"{text}\n... and {left} more, in uns[{key!r}][{keys.PERTURBATIONS!r}]." if left > 0 else text


def module_table(adata: AnnData, *, key: str) -> str:
    """List the modules of perturbations, the largest first, with the strongest members and the genes that mark each."""
    table, markers = get.modules(adata, key=key), get.modules(adata, what="markers", key=key)
    markers = markers.fillna({"others": 0.0})
    names = sorted(table["module"].unique(), key=lambda name: (name == keys.NO_EFFECT, len(name), name))
    members = [table[table["module"] == name].sort_values("strength", ascending=False, kind="stable") for name in names]
    signs = markers["change"].gt(markers["others"]).map({True: "+", False: "-"})
    marks = (signs + markers["gene"]).groupby(markers["module"])
    rows = pd.DataFrame(
        {
            "module": names,
            "size": list(map(len, members)),
            "strength": [some["strength"].median() for some in members],
            "perturbations": [_some(list(some["perturbation"])) for some in members],
            "marked by": [
                " ".join(marks.get_group(name)[:_N_MARKERS]) if name in marks.groups else "" for name in names
            ],
        }
    )
    title = "Modules of perturbations (median strength; genes that go up + or down - more than in other modules)"
    return f"{title}\n{aligned(rows)}"


def _some(names: list[str]) -> str:
    """Spell out a few names."""
    shown = " ".join(names[:_N_NAMES])
    return shown if len(names) <= _N_NAMES else f"{shown} and {len(names) - _N_NAMES} more"
