"""What a fit and the verbs after it will take, before they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core.cells import Source, chosen_rows, sample_rows, unwrap
from .._core.groups import grouping
from .._core.messages import listed, many, require_known, say
from .._core.scale import scale_of
from .._core.verb import verb
from .._rng import generator
from .._settings import settings
from ..pp import select_genes

if TYPE_CHECKING:
    from .._typing import RNG, MuData, Sequence
    from .planning._calibration import Calibration
    from .planning._work import Size

# Cells that stand for all of them, where there are many, read in so many runs of neighbours.
_SAMPLE, _RUNS = 4_000, 80
# Groups of fewer cells get no model.
_MIN_CELLS = 5
# Times are expected within this factor of the plan (measured: docs, scale).
_FACTOR = 1.5
# And those of a ranking, which looks at a gene in all cells: memory answers more slowly where they are many.
_OF_RANKING = 2.0


@verb
def plan(
    adata: AnnData | MuData,
    *,
    genes: str | Sequence[str] | None = None,
    n_top_genes: int | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    workers: int = 1,
    mod: str = "rna",
    device: str = "auto",
    progress: bool = True,
    rng: RNG = 0,
) -> pd.DataFrame:
    """Say how long a default fit and what follows it will take, and how much memory and disk, before they are called.

    Some of the cells are really fitted, scanned and ranked, for about half a minute, or less where all of them take
    less; nothing in `adata` changes. A message says time and memory of each step in short. Cells may be in memory, in a
    file (``backed="r"``) or read lazily: no more than 10,000 of them are read.

    Parameters
    ----------
    adata
        Cells, as for :func:`dko.tl.fit`.
    genes, n_top_genes
        See :func:`dko.pp.select_genes`.
    groupby
        ``obs`` column: one model per group.
    layer, use_raw
        Where the expression is; X by default.
    log1p
        Whether the values are log1p values; None finds out.
    workers
        Workers of a cluster that share the work, each as fast as this machine.
    mod
        Modality of a MuData that holds the genes.
    device
        Where to compute.
    progress
        Show a progress bar.
    rng
        Seed or generator of the choice of cells and genes for the short runs.

    Returns
    -------
    DataFrame with a row per step: ``fit``, ``scan`` (into memory), ``scan to a file`` (``out=``), ``rank_genes``, and
    ``virtual_ko of one gene``, the one that most cells express. Columns are

    ``cells``, ``genes``
        Cells that have a model, and genes of the fit.
    ``knockouts``
        Knockouts that the step makes: pairs of a cell and a gene of the fit that it expresses, estimated from the cells
        that were read.
    ``seconds``, ``seconds_low``, ``seconds_high``
        Time on this machine, as busy as it is now, and its range. The range is a factor of 1.5, or 2 for a
        ranking, to both sides and, of a fit of more than 10,000 cells, from the steps of the network in the short run
        to all that it may take.
    ``seconds_with_workers``
        Time with `workers`: scans, named knockouts and, of a fit of enough cells, the sums over cells and the test are
        divided among them; reading the cells of a fit, training, rankings and what was measured as a whole are not.
    ``memory_bytes``
        Highest memory of the process that makes the step, imports and the cells that are in memory included.
    ``disk_bytes``
        What the result takes in an ``.h5ad`` file; in a ``.zarr`` store, which is compressed, about half.

    Raises
    ------
    KeyError
        A gene, layer or column that is not there.
    ValueError
        Values that are no expression; fewer than 5 cells in every group.

    Notes
    -----
    Up to 10,000 cells and 2,000 genes are fitted, scanned and ranked once (of several groups, as many cells as one has
    on average), and the plan is what that took; workers would gain little. Of more, short runs are of 500, 2,000 and
    4,000 of the cells, on at most 2,000 of the genes. The time of each run is divided among kinds of work whose amounts
    are known (sums over cells, over entries and over pairs of genes in a cell; steps of the network; genes x genes),
    and these are then as many as all cells and genes give. Of more than 2,000 genes, times are therefore less certain.
    Assumed are the default model and settings, a disk that is as fast as the one that temporary files are on, and other
    cells like those that were read.

    Examples
    --------
    >>> dko.datasets.grn(200, 30, rng=0).write_h5ad("atlas.h5ad")
    >>> adata = sc.read_h5ad("atlas.h5ad", backed="r")
    >>> plan = dko.tl.plan(adata, workers=16)
    >>> plan.index.tolist()
    ['fit', 'scan to a file', 'scan', 'rank_genes', 'virtual_ko of one gene']
    >>> plan.loc["fit", ["cells", "genes"]].astype(int).tolist()
    [200, 30]
    """
    from ..models._training import resolve_device
    from .planning._calibration import calibrate, linear, size_of
    from .planning._words import summary

    target = unwrap(adata, mod)
    require_known(genes, target)
    resolve_device(device)
    n_cells = _cells_of_groups(target, groupby)
    some = _sample(target, Source(target, layer, use_raw), log1p)
    named = None if genes is None else [gene for gene in _listed(genes) if some[:, gene].X.nnz]
    if genes is not None and len(genes) and not named:
        raise ValueError(f"None of the {many(some.n_obs, 'cell')} that were read expresses {listed(_listed(genes))}.")
    with settings.override(verbosity=0):
        chosen = select_genes(some, named, n_top_genes=n_top_genes, log1p=linear(some))
    size = size_of(some, chosen)._replace(n_cells=sum(n_cells))
    calibration = calibrate(some, chosen, n_cells, device, generator(rng))
    table = estimate(size, calibration, n_groups=len(n_cells), workers=workers)
    say(
        f"{summary(table, workers)}\nThat is time, and memory at most, on this machine, as busy as it is now; "
        f"{some.n_obs:,} of {target.n_obs:,} cells were read, and times of seconds are expected within a factor of "
        f"{_FACTOR:g} if others are like these. Ranges, numbers of knockouts and disk space are in the table."
    )
    return table


def _listed(genes: str | Sequence[str]) -> list[str]:
    return [genes] if isinstance(genes, str) else list(genes)


def _cells_of_groups(adata: AnnData, groupby: str | None) -> list[int]:
    """Return the number of cells of each group that gets a model."""
    _, group_of = grouping(adata, groupby, np.ones(adata.n_obs, dtype=bool))
    sizes = np.bincount(group_of[group_of >= 0])
    if not (able := [int(n) for n in sizes if n >= _MIN_CELLS]):
        raise ValueError(f"A fit needs at least {_MIN_CELLS} cells in a group, got {max(sizes, default=0)}.")
    return able


def _sample(adata: AnnData, source: Source, log1p: bool | None) -> AnnData:
    """Return some cells in memory, on a linear scale, without those that express nothing."""
    from .planning._calibration import ALL

    most = ALL if adata.n_obs <= ALL else _SAMPLE
    rows = sample_rows(adata.n_obs, most, _RUNS)
    found = AnnData(source.sample(most, _RUNS), adata.obs[[]].iloc[rows], pd.DataFrame(index=source.names))
    if "log1p" in adata.uns:
        found.uns["log1p"] = adata.uns["log1p"]
    values = chosen_rows(Source(found).blocks(source.genes))  # which also refuses what is no expression
    scale_of(Source(found), log1p).to_linear(values)
    some = values.getnnz(axis=1) > 0
    if not some.any():
        raise ValueError(f"None of the {many(len(some), 'cell')} that were read expresses any gene.")
    return AnnData(values[some], found.obs[some], pd.DataFrame(index=source.genes))


def estimate(size: Size, calibration: Calibration, *, n_groups: int = 1, workers: int = 1) -> pd.DataFrame:
    """Return the table of :func:`plan` for so many cells, in groups with a model each."""
    from .planning import _memory, _work

    one = size._replace(n_cells=size.n_cells / n_groups)
    most = _work.steps_at_most(one.n_cells)
    n_steps = _work.steps_of(one.n_cells, calibration.n_steps, calibration.n_cells)
    knockouts = {_work.FIT: 0, _work.KO: round(size.n_cells * size.common)}
    rows = {}
    for step, rates in calibration.rates.items():
        taken, least, longest = (
            _work.of_fit(one, steps) if step == _work.FIT else _work.of_cells(one)
            for steps in (n_steps, min(n_steps, calibration.n_steps), most)
        )
        factor = _OF_RANKING if step == _work.RANK else _FACTOR
        rows[step] = {
            "cells": round(size.n_cells),
            "genes": size.n_genes,
            "knockouts": knockouts.get(step, size.n_knockouts),
            "seconds": n_groups * rates.seconds(taken),
            "seconds_low": n_groups * rates.seconds(least) / factor,
            "seconds_high": n_groups * rates.seconds(longest) * factor,
            "seconds_with_workers": n_groups * rates.seconds(taken, _work.shared(step, one, workers)),
            "memory_bytes": _memory.peak(step, size, n_groups),
            "disk_bytes": _memory.on_disk(step, size, n_groups),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")
