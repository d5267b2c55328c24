"""From a model of assemblages to modules of knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ... import get
from ..._core.knockouts import open_task
from ..._core.messages import listed
from ..._core.names import gene_sets
from ._module_cells import without_targets
from ._module_labels import reduced
from ._module_tables import known_groups
from ._modules_of import Effects, in_order, modules_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    from ..._core.fitted import Fitted
    from ..._core.knockouts import Task
    from ..._core.names import Knockouts
    from ._modules_of import Plan

# Genes that are compared when the user names none.
_MOST = 500


def assemblage_modules(
    data: AnnData | MuData,
    genes: Knockouts | None,
    groups: Mapping[str, str] | pd.Series | None,
    plan: Plan,
    *,
    key: str,
    mod: str,
    device: str,
    seed: int,
) -> dict[str, Any]:
    """Return the entries of ``uns``."""
    task = open_task(data, key, mod)
    order = _widespread(task, plan.alpha) if genes is None else _singles(genes)
    if len(order) < 2:
        raise ValueError(
            f"Modules are of several knockouts, got {len(order)}; name at least two genes that have cells."
        )
    labels = sorted(order)
    known = known_groups(groups, labels, set(task.fitted.genes))
    # Centred: what all have in common would make them all of one kind.
    found = get.effects(data, labels, centred=True, key=key, mod=mod, device=device)
    if none := sorted(set(labels) - set(found.obs_names)):
        raise ValueError(
            f"No cell that has a model expresses {listed(none)}, so nothing is knocked out; leave them out."
        )
    changes = without_targets(found.X, [[label] for label in labels], task.fitted.genes)
    effects = Effects(
        sets={label: [label] for label in labels},
        genes=task.fitted.genes,
        changes=changes,
        vectors=reduced(changes),
        p_effect=_rates(task.fitted)[pd.Index(task.fitted.genes).get_indexer(labels)],
        unseen=np.zeros(len(labels), dtype=bool),
        n_cells=found.obs["n_cells"].to_numpy(),
    )
    return in_order(modules_of(effects, known, plan, seed), order)


def _singles(genes: Knockouts) -> list[str]:
    """Return the genes that a user has named, each once."""
    sets = gene_sets(genes)
    if wrong := [members for members in sets if len(members) > 1]:
        raise TypeError(f"Modules of this model are of single genes, got {tuple(wrong[0])!r}.")
    return list(dict.fromkeys(gene for (gene,) in sets))


def _widespread(task: Task, alpha: float) -> list[str]:
    """Return the genes that do something to others, as far as can be told, those in most cells first."""
    n_cells = task.presence[task.cells].getnnz(axis=0)
    usable = (n_cells > 0) & ~(_rates(task.fitted) > alpha)
    by_cells = np.argsort(-n_cells, kind="stable")
    return [task.fitted.genes[column] for column in by_cells[usable[by_cells]][:_MOST]]


def _rates(fitted: Fitted) -> np.ndarray:
    """Return the false discovery rate of the downstream impact of each gene of the model; NaN if not known."""
    return np.full(len(fitted.genes), np.nan) if fitted.signal is None else fitted.signal.astype(float)
