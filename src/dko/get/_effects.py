"""Effects of knockouts: which genes change, and in which direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core import keys
from .._core.groups import grouping
from .._core.knockouts import open_model
from .._core.verb import verb

if TYPE_CHECKING:
    from mudata import MuData

    from .._core.names import Knockouts


@verb
def effects(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    groupby: str | None = None,
    centred: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    progress: bool = True,
) -> AnnData:
    """Return the mean change of every gene after each knockout, as an AnnData for scanpy.

    The change is that of log1p(1e4 * profile), after minus before, with the knocked-out genes taken out of both and
    both renormalised: otherwise the gap that they leave would decide the sign of everything. With total effects the
    profile before is the observed one, with direct effects the predicted one. Of an SCCVAE it is the change of the
    log-normalised expression of the control cells, predicted less observed, on the scale of its input; nothing is
    renormalised, perturbed genes are left in, and a gene loses at most its mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`; by default every gene alone, of an SCCVAE those it was trained on.
    groupby
        ``obs`` column: an effect per knockout and group. Default: one per knockout, over all cells.
    centred
        Take off the mean effect of the other knockouts that are returned (of the same group), at least one: what is
        left is particular to the knockout. All genes are the fairest mean.
    %(fit)s
    %(compute)s
    %(progress)s

    Returns
    -------
    AnnData, knockouts (x groups) x genes of the model: X float32, the mean over the cells that express any of the
    knocked-out genes; 0 for these genes themselves, and in each cell for genes that it lacks. ``obs`` has ``knockout``,
    ``n_cells`` and, with `groupby`, ``group``. There is no row for a knockout that no cell (of a group) expresses.

    %(errors)s
        `centred` with a single knockout; no cell in any group.
    """
    cells = open_model(adata, key, mod, device=device)
    sets = cells.all_sets if genes is None else cells.sets(genes)
    groups, group_of = grouping(cells.adata, groupby)
    if not (group_of[cells.rows] >= 0).any():
        raise ValueError(f"No cell in which knockouts are predicted has a value in obs[{groupby!r}].")
    total, n_cells = cells.effect_sums(list(sets.values()), group_of, len(groups))
    group, knockout = np.nonzero(n_cells)
    obs = pd.DataFrame({"knockout": np.array(list(sets), dtype=object)[knockout], "n_cells": n_cells[group, knockout]})
    obs.index = obs["knockout"].to_list()
    if groupby is not None:
        obs["group"] = pd.Categorical.from_codes(group, categories=groups)
        obs.index = [f"{name} ({groups[g]})" for name, g in zip(obs["knockout"], group, strict=True)]
    change = total[group, knockout] / n_cells[group, knockout][:, None]
    if centred:
        of_group = pd.DataFrame(change).groupby(group)
        n_others = of_group[0].transform("size").to_numpy()[:, None] - 1
        if not n_others.all():
            raise ValueError("Effects are centred against those of other knockouts; name at least two genes, or none.")
        change -= (of_group.transform("sum").to_numpy() - change) / n_others
    var = cells.adata.var.loc[cells.model.genes, []].copy()
    return AnnData(change.astype(np.float32), obs=obs, var=var)
