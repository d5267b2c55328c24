"""Whether genes that cells cannot live without are ranked before others of the same expression, in real cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

import dko

from ..inputs import DATA
from ._models import DEFAULT, models
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

_HUMAN, _MOUSE = ("CEGv2.txt", "NEGv1.txt"), ("CEG_mouse.txt", "NEG_mouse.txt")
# Cells, and the lists of core-essential and of non-essential genes (Hart et al. 2017) of the species.
SETS = {
    "PBMC 3k": ("pbmc3k_raw_annotated.h5ad", _HUMAN),
    "kidney": ("kidneyimmune_1k.h5ad", _HUMAN),
    "nkx21, unperturbed": ("nkx21_ko_lung_2k.h5ad", _MOUSE),
    "tal1, unperturbed": ("tal1_ko_chimera_500hvg.h5ad", _MOUSE),
}
_LISTS = tuple(f"essential/{name}" for names in (_HUMAN, _MOUSE) for name in names)
FILES = (*(file for file, _ in SETS.values()), *_LISTS)
_OTHERS, _MIN_CELLS, _N_BOOTSTRAPS = 1_500, 10, 200
# Fewer genes of a list say nothing.
_FEWEST = 10
OF_OTHERS, OF_LIST = "of others", "of non-essential"


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in list(SETS)[-1:] if quick else SETS:
        yield measure, {"data": data, "quick": quick}


def measure(data: str, quick: bool) -> list[Row]:
    """Return areas under the curve of the ranking and of expression, with 95 % intervals over genes."""
    return list(_measure(data, quick))


def _measure(data: str, quick: bool) -> Iterator[Row]:
    file, lists = SETS[data]
    essential, harmless = (set(pd.read_csv(DATA / "essential" / name, sep="\t").iloc[:, 0]) for name in lists)
    cells = _cells(ad.read_h5ad(DATA / file), essential | harmless)
    # The first that is fitted is the default.
    _, _, fitted = next(models(cells, [0], quick=quick))
    dko.tl.scan(fitted)
    table = dko.get.ranking(fitted, min_cells=_MIN_CELLS)
    shares = np.asarray((cells.X / cells.X.sum(axis=1).reshape(-1, 1)).mean(axis=0)).ravel()
    expression = pd.Series(shares, cells.var_names)[table["gene"]].to_numpy()
    scores = {DEFAULT: table["downstream_mean"].to_numpy(), "mean expression": expression}
    scores["fraction of cells"] = table["fraction"].to_numpy()
    is_essential, is_harmless = (table["gene"].isin(genes).to_numpy() for genes in (essential, harmless))
    for what, others in ((OF_OTHERS, ~is_essential), (OF_LIST, is_harmless)):
        if min(is_essential.sum(), others.sum()) < _FEWEST:
            continue
        rows = np.flatnonzero(is_essential | others)
        for name, score in scores.items():
            yield from _areas(data, name, what, score[rows], is_essential[rows], expression[rows])


def _cells(cells: AnnData, named: set[str]) -> AnnData:
    """Return unperturbed cells with the genes of the lists, and others at random."""
    if "perturbation" in cells.obs:
        cells = cells[cells.obs["perturbation"] == "control"]
    seen = np.asarray((cells.X > 0).sum(axis=0)).ravel() >= _MIN_CELLS
    listed = cells.var_names.isin(named)
    others = np.flatnonzero(seen & ~listed)
    others = np.random.default_rng(0).choice(others, min(_OTHERS, len(others)), replace=False)
    cells = cells[:, np.sort(np.concatenate([np.flatnonzero(seen & listed), others]))].copy()
    return cells[np.asarray(cells.X.sum(axis=1)).ravel() > 0].copy()


def _areas(
    data: str, method: str, what: str, score: np.ndarray, truth: np.ndarray, expression: np.ndarray
) -> Iterator[Row]:
    rng, found = np.random.default_rng(0), dko.metrics.recovery(score, truth, expression=expression)
    draws: list[Any] = [rng.integers(len(score), size=len(score)) for _ in range(_N_BOOTSTRAPS)]
    drawn = pd.DataFrame([dko.metrics.recovery(score[d], truth[d], expression=expression[d]) for d in draws])
    for metric in ("auroc", "auroc_matched"):
        low, high = drawn[metric].quantile([0.025, 0.975])
        yield Row(data, None, method, 0, f"{metric} {what}", found[metric], float(low), float(high))
