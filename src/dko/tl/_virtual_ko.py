"""Knocking out named genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _keys
from .._engine import engine_on, open_task, progress_blocks
from .._errors import listed
from .._fitted import NO_SIGNAL
from .._log import logger
from .._settings import settings
from .._write import writable, write
from ._knockout_sets import columns_of, knockout_sets

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .._engine import Task
    from .._fitted import Groups
    from .._labels import Knockouts


def virtual_ko(
    adata: AnnData | MuData,
    genes: Knockouts,
    *,
    dose: float = 1.0,
    groups: Groups = None,
    profiles: bool = True,
    key: str = _keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    batch_size: int | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Predict what cells look like without a gene, and how far that is from what they look like with it.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, or another with the same genes, in any order.
    genes
        One gene, a list of genes (each knocked out alone), or tuples of genes (removed together).
    dose
        Fraction that is removed, above 0 and at most 1 (1: knockout; below: knockdown).
    groups
        Cells to knock out in: names of groups of the fit's ``groupby``, a mapping ``{obs column: names}``, or a boolean
        array. Default: all cells.
    profiles
        Write the predicted profiles; the impacts are written in any case.
    key, mod
        Where the fit is.
    device, batch_size
        Where, and how many cells at a time, to compute; by default as many as fit the memory budget of the settings.
    copy
        Return a changed copy instead of writing in place.

    Returns
    -------
    None, or the changed copy. The label of a knockout is its genes, sorted, joined by ``+``. Sets

    ``layers[f"{key}_ko_{label}"]``
        CSR float32, the predicted relative profile after the knockout; each row sums to 1 (a cell that loses its only
        gene has no entries). Cells that do not express the gene keep the profile
        that knockouts start from, ``layers["before"]`` of :func:`dko.get.profiles`; cells outside `groups`
        and genes outside the model have no entries.
    ``obsm[f"{key}_impact"]``
        DataFrame, float32, a column per label, beside those of earlier calls: Bray-Curtis dissimilarity of the
        profile after and before; NaN where a cell expresses none of the genes. :func:`dko.get.impact`
        reads it.
    ``uns[key]["knockouts"]``
        DataFrame: label, dose, and the number of cells that express any of the genes.

    Raises
    ------
    KeyError
        No fit; a gene that is not in the fit (said apart: unknown, or left out of it).
    ValueError
        No cell expresses a gene; a dose outside (0, 1]; more profiles than memory is sensible for.

    Notes
    -----
    Exact: a knockout subtracts one column of the fitted map instead of passing through the network (arXiv 2510.03359
    has one pass per gene and cell). In ``layers`` keys and column names ``/`` is spelled ``%2F``.
    """
    data = writable(adata, copy, mod)
    task = open_task(data, key, mod, groups)
    target = task.adata
    sets = knockout_sets(genes, task.fitted.genes, target.var_names)
    if not isinstance(dose, int | float | np.number) or not 0 < dose <= 1:
        raise ValueError(f"dose={dose!r} must be above 0 and at most 1: the fraction of the gene that is removed.")
    frame = _frame(target, key, list(sets))
    # Twelve bytes per entry: the profile, and its value and column in a CSR matrix.
    if profiles and (size := 12 * task.presence.nnz * len(sets)) > settings.result_budget:
        raise ValueError(
            f"The profiles of {len(sets)} knockouts would take {size / 2**30:.1f} GiB; pass profiles=False for their "
            "impacts alone, or fewer genes."
        )

    impacts, after = _knock_out(task, sets, dose, profiles, device, batch_size)
    n_cells = np.isfinite(impacts).sum(axis=0)
    if not n_cells.all():
        label = list(sets)[int(n_cells.argmin())]
        where = "No cell" if groups is None else "No cell of the chosen groups"
        raise ValueError(f"{where} that has a model expresses {label!r}, so there is nothing to knock out.")
    _warn_of_silence(task, sets)
    columns = [_keys.escape(label) for label in sets]
    new = pd.DataFrame(impacts, index=frame.index, columns=columns)
    frame = pd.concat([frame.drop(columns=columns, errors="ignore"), new], axis=1)
    write(
        target,
        # Without a new profile, that of an earlier call would stand beside the impact of this one.
        remove={"layers": [] if profiles else [_keys.ko_layer(key, label) for label in sets]},
        layers={_keys.ko_layer(key, label): task.layer(values) for label, values in zip(sets, after, strict=False)},
        obsm={_keys.impact(key): frame},
        uns={key: {**target.uns[key], _keys.KNOCKOUTS: _table(target, key, list(sets), dose, n_cells)}},
    )
    return data if copy else None


def _warn_of_silence(task: Task, sets: dict[str, list[str]]) -> None:
    """Say of which genes these cells do not tell what they do."""
    if task.fitted.signal is None:
        return
    rates = dict(zip(task.fitted.genes, task.fitted.signal, strict=True))
    if silent := [
        gene for gene in dict.fromkeys(gene for genes in sets.values() for gene in genes) if rates[gene] > NO_SIGNAL
    ]:
        logger.warning(
            "No other gene is found to go with %s in the cells of the fit (false discovery rate above 5 %%, var[%r]): "
            "what the knockout does to other genes may be noise.",
            listed(silent),
            _keys.signal(task.fitted.key),
        )


def _knock_out(
    task: Task, sets: dict[str, list[str]], dose: float, profiles: bool, device: str, batch_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return impacts (cells x knockouts) and profiles (knockouts x entries of presence), NaN where there are none."""
    from ..models.knockout import find

    engine, wanted = engine_on(device), columns_of(sets, task.fitted.genes)
    impacts = np.full((task.adata.n_obs, len(sets)), np.nan, dtype=np.float32)
    after = []
    for first, block in progress_blocks(task, batch_size, "virtual_ko"):
        after.append(np.full((len(sets) if profiles else 0, block.nnz), np.nan, dtype=np.float32))
        for affine, rows, presence, entries, residual in task.parts(block, first):
            cell, number, removed = find(presence, wanted)
            # A cell that expresses none of the genes keeps its profile.
            before = engine.predict(affine, presence, residual=residual) if profiles else np.empty(0)
            part = np.tile(before, (len(after[-1]), 1))
            impacts[first + rows[cell], number] = engine.knock_out(
                affine,
                presence,
                cell,
                removed,
                residual=residual,
                dose=dose,
                after=part if profiles else None,
                number=number,
            )
            # A gene that is gone has no entry, like a gene that was never there.
            if profiles:
                after[-1][:, entries] = np.where(part > 0, part, np.nan)
    return impacts, np.concatenate(after, axis=1)


def _frame(adata: AnnData, key: str, labels: list[str]) -> pd.DataFrame:
    """Return the frame of impacts with columns of earlier calls; refuse what cannot be written to a file."""
    earlier = adata.obsm.get(_keys.impact(key))
    frame = pd.DataFrame(index=adata.obs_names) if earlier is None else earlier.copy()
    if len(frame.columns.union([_keys.escape(label) for label in labels])) > _keys.MAX_FRAME_COLUMNS:
        raise ValueError(
            f"obsm[{_keys.impact(key)!r}] would hold more than {_keys.MAX_FRAME_COLUMNS:,} knockouts, which h5ad files "
            "cannot take; use dko.tl.scan(adata), which writes the impact of every gene into a layer."
        )
    return frame


def _table(adata: AnnData, key: str, labels: list[str], dose: float, n_cells: np.ndarray) -> pd.DataFrame:
    """Return the list of knockouts, with those of earlier calls."""
    table = pd.DataFrame({"label": labels, "dose": dose, "n_cells": n_cells})
    earlier = adata.uns[key].get(_keys.KNOCKOUTS)
    if earlier is not None:
        table = pd.concat([earlier[~earlier["label"].isin(labels)], table])
    return table.reset_index(drop=True)
