"""Effects of knockouts: which genes change, and in which direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core import keys
from .._core.groups import grouping
from .._core.knockouts import engine_on, is_sccvae, open_perturber, open_task, perturbed_sets, progress_blocks
from .._core.messages import require_genes
from .._core.names import gene_sets
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

    Of an SCCVAE: the mean change of the log-normalised expression of the control cells, predicted less observed, on the
    scale of its input; nothing is renormalised, and the change of the perturbed genes themselves is left in. A gene
    loses at most its mean.

    The change is that of log1p(1e4 * profile), after minus before, with the knocked-out gene taken out of both profiles
    and both renormalised: otherwise the gap that it leaves would decide the sign of everything. With total effects the
    profile before is that of the cell as it was observed, with direct effects the one predicted from its assemblage.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    genes
        Genes to knock out, each alone; all genes of the model by default. Of an SCCVAE also tuples of genes, or labels
        such as ``"A+B"``, perturbed together; by default the perturbations that it was trained on.
    groupby
        ``obs`` column: an effect per knockout and group. Default: one per knockout, over all cells.
    centred
        Take off the mean effect of the other knockouts that are returned (of the same group): what is left is
        particular to the knockout. Needs at least two; all genes are the fairest mean.
    key, mod, device
        Where the fit is; where to compute.
    %(progress)s

    Returns
    -------
    AnnData, knockouts (x groups) x genes of the model: X float32, the mean over the cells that express the knocked-out
    gene; 0 for that gene itself, and in each cell for the genes that it does not express. ``obs`` has ``knockout``,
    ``n_cells`` and, with `groupby`, ``group``. A knockout that no cell (of a group) expresses has no row.

    Raises
    ------
    KeyError
        No fit, no such gene or column.
    ValueError
        `centred` with a single knockout; of an SCCVAE, no control cell in any group.
    """
    if is_sccvae(adata, key, mod):
        return _of_sccvae(adata, genes, groupby, centred, key, mod, device)
    task = open_task(adata, key, mod)
    target, fitted = task.adata, task.fitted
    wanted_sets = [[gene] for gene in fitted.genes] if genes is None else gene_sets(genes)
    if sets := [members for members in wanted_sets if len(members) > 1]:
        raise TypeError(f"Effects are of single genes, got {sets[0]!r}; for genes together use dko.tl.virtual_ko.")
    names = list(dict.fromkeys(gene for (gene,) in wanted_sets))
    require_genes(names, fitted.genes, target)
    groups, group_of = grouping(target, groupby)
    wanted = pd.Index(fitted.genes).get_indexer(names)
    total = np.zeros((len(groups), len(names), len(fitted.genes)))
    n_cells = np.zeros((len(groups), len(names)), dtype=int)
    engine = engine_on(device)
    for first, block in progress_blocks(task, None, "effects"):
        counted = group_of[first : first + block.shape[0]] >= 0
        for part in task.parts(block, first, counted):
            of_group = group_of[first + part.rows]
            changes, n = engine.effect_sums(part.affine, part.presence, wanted, of_group, len(groups))
            total += changes
            n_cells += n
    group, knockout = np.nonzero(n_cells)
    obs = pd.DataFrame({"knockout": np.array(names, dtype=object)[knockout], "n_cells": n_cells[group, knockout]})
    obs.index = obs["knockout"].to_list()
    if groupby is not None:
        obs["group"] = pd.Categorical.from_codes(group, categories=groups)
        obs.index = [f"{name} ({groups[g]})" for name, g in zip(obs["knockout"], group, strict=True)]
    change = total[group, knockout] / n_cells[group, knockout][:, None]
    if centred:
        change = _centred(change, group)
    return AnnData(change.astype(np.float32), obs=obs, var=target.var.loc[fitted.genes, []].copy())


def _of_sccvae(
    adata: AnnData | MuData,
    genes: Knockouts | None,
    groupby: str | None,
    centred: bool,
    key: str,
    mod: str,
    device: str,
) -> AnnData:
    perturber = open_perturber(adata, key, mod, device=device)
    sets = perturber.trained if genes is None else perturbed_sets(genes, perturber)
    groups, group_of = grouping(perturber.adata, groupby)
    parts, rows = [], []
    for number, group in enumerate(groups):
        chosen = perturber.among(group_of == number)
        if not len(chosen.rows):
            continue
        change = chosen.mean_effects(list(sets.values()))
        parts.append(_centred(change, np.zeros(len(sets), dtype=int)) if centred else change)
        rows.append(pd.DataFrame({"knockout": list(sets), "n_cells": len(chosen.rows), "group": group}))
    if not rows:
        raise ValueError(f"No control cell, in which perturbations are predicted, has a value in obs[{groupby!r}].")
    obs = pd.concat(rows, ignore_index=True)
    obs.index = (
        obs["knockout"].to_list() if groupby is None else (obs["knockout"] + " (" + obs["group"] + ")").to_list()
    )
    obs = obs.drop(columns="group") if groupby is None else obs.astype({"group": "category"})
    var = perturber.adata.var.loc[perturber.fitted.genes, []].copy()
    return AnnData(np.concatenate(parts).astype(np.float32), obs=obs, var=var)


def _centred(change: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Take off the mean of the other rows of the group."""
    centred = np.empty_like(change)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        if len(rows) < 2:
            raise ValueError("Effects are centred against those of other knockouts; name at least two genes, or none.")
        centred[rows] = change[rows] - (change[rows].sum(0) - change[rows]) / (len(rows) - 1)
    return centred
