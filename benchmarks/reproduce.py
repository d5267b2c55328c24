"""Compare ``preset="paper"`` with the published results of arXiv 2510.03359, on the reference's own example.

Needs five files of the reference implementation, compressed, in the folder ``reference`` of the folder that the
environment variable DKO_TEST_DATA names (default ``../shared/data``): the cells, ``Ptrain.csv.gz`` (genes x cells, no
header), the published tables, ``Impact_results.csv.gz`` and ``Impact_results_doubleKO.csv.gz``, and the published
profiles of test cells, ``mapping_true.csv.gz`` and ``mapping_prediction.csv.gz``.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from tqdm.auto import tqdm

import dko

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike

    Row = tuple[str, str, str, str]

SEEDS = (0, 1, 2)
REFERENCE = Path(os.environ.get("DKO_TEST_DATA", "../shared/data")) / "reference"
CELLS = REFERENCE / "Ptrain.csv.gz"
SINGLES = REFERENCE / "Impact_results.csv.gz"
DOUBLES = REFERENCE / "Impact_results_doubleKO.csv.gz"
TRUE = REFERENCE / "mapping_true.csv.gz"
PREDICTED = REFERENCE / "mapping_prediction.csv.gz"


def run() -> str:
    """Measure everything and return it as a Markdown page."""
    files = (CELLS, SINGLES, DOUBLES, TRUE, PREDICTED)
    if missing := [path.name for path in files if not path.is_file()]:
        raise SystemExit(
            f"{REFERENCE} lacks {', '.join(missing)}; set DKO_TEST_DATA to a folder whose folder 'reference' holds "
            f"{', '.join(path.name for path in files[:-1])} and {files[-1].name} of the reference implementation of "
            "arXiv 2510.03359."
        )
    dko.settings.verbosity = 0
    fits = [_single(seed) for seed in tqdm(SEEDS, desc="single knockouts")]
    rows = [
        *_test_rows([_test_cells(seed) for seed in tqdm(SEEDS, desc="test cells")]),
        _row(
            "39,343 single impacts, Spearman with the published table",
            [r for r, _ in fits],
            "0.984 (a re-run of the reference, not made here)",
        ),
        *_double_rows(fits),
        *_time_rows(),
    ]
    table = pd.DataFrame(rows, columns=["measure", "dko", "range over seeds", "reference"])
    return (
        "# The paper's setting on the reference's own example\n\n"
        f"100 genes x 500 cells; seeds {', '.join(map(str, SEEDS))}; {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}.\n\n{table.to_markdown(index=False)}\n\n{_REMARK}"
    )


_REMARK = """\
The published table of double knockouts does not belong to the published cells, so a Spearman of 0.97 with it is out of
reach. The published singles of the same cells, added up, hardly agree with it any better, while they do agree with the
double knockouts made here. The reference knocks out pairs of genes that a cell expresses; in that table the named cell
lacks one of the two genes as often as chance would have it, and no other cell would fit the name: the best one still
lacks several of the genes that the table removes from it. Gene numbers alone explain most of the table, so it seems a
sound table of some other cells. The tests hold the double knockouts made here against the paper's formula to 1e-5.
"""


def _row(measure: str, values: list[float], reference: str = "") -> Row:
    return measure, f"{np.mean(values):.4f}", f"{min(values):.4f} to {max(values):.4f}", reference


def _test_cells(seed: int) -> pd.DataFrame:
    """Fit with a test set; return the quality of the model and of each gene's mean on it."""
    cells = dko.io.read_reference(CELLS)
    dko.tl.fit(cells, preset="paper", test_fraction=0.2, progress=False, rng=seed)
    return dko.get.fit_quality(cells)


def _test_rows(results: list[pd.DataFrame]) -> list[Row]:
    true, predicted = (pd.read_csv(path, header=None).to_numpy() for path in (TRUE, PREDICTED))
    published = dko.metrics.fit_quality(true, predicted)
    names = {"bray_curtis": "Bray-Curtis", "spearman": "Spearman over expressed entries"}
    whose = {"model": "model", "gene mean": "each gene's mean"}
    return [
        _row(
            f"test cells, {names[metric]}, {who}",
            [table.loc[row, metric] for table in results],
            f"{published[metric]:.4f}" if row == "model" else "",
        )
        for metric in names
        for row, who in whose.items()
    ]


def _single(seed: int) -> tuple[float, AnnData]:
    """Fit on all cells and knock out every gene; return the agreement with the published table, and the cells."""
    cells = dko.io.read_reference(CELLS)
    dko.tl.fit(cells, preset="paper", progress=False, rng=seed)
    dko.tl.scan(cells)
    published = pd.read_csv(SINGLES)
    ours = cells.layers["dko_impact"].toarray()[published["cell_id"], published["gene_id"]]
    return spearmanr(ours, published["k_pred"]).statistic, cells


def _double_rows(fits: list[tuple[float, AnnData]]) -> list[Row]:
    published = pd.read_csv(DOUBLES)
    genes = published[["gene1_id", "gene2_id"]].to_numpy()
    present = fits[0][1].X.toarray() > 0
    both = present[published["cell_id"].to_numpy()[:, None], genes].all(axis=1)
    ours = [_double(cells, published[both]) for _, cells in fits]
    singles = _published_sums(published[both])

    removed = np.zeros((len(present), present.shape[1]), dtype=bool)
    removed[published["cell_id"].to_numpy()[:, None], genes] = True
    lacking = removed.astype(int) @ (~present).astype(int).T
    indicator = np.zeros((len(published), present.shape[1]))
    indicator[np.arange(len(published))[:, None], genes] = 1
    fitted = indicator @ np.linalg.lstsq(indicator, published["k_pred"], rcond=None)[0]
    chance = 1 - present.mean() ** 2
    return [
        _row(
            f"{both.sum():,} of 50,000 published doubles (those whose cell expresses both), Spearman",
            [_rank_correlation(impact, published.loc[both, "k_pred"]) for impact in ours],
            f"{_rank_correlation(singles, published.loc[both, 'k_pred']):.4f} (the published singles, added up)",
        ),
        _row(
            "the same doubles, Spearman with the published singles, added up",
            [_rank_correlation(impact, singles) for impact in ours],
        ),
        (
            "published doubles whose named cell lacks one of the genes",
            f"{1 - both.mean():.1%}",
            "",
            f"{chance:.1%} by chance",
        ),
        (
            "genes that the table removes from a cell and the cell lacks",
            f"{np.diag(lacking).mean():.1f}",
            "",
            f"{lacking.min(axis=1).mean():.1f} in the best other cell (at least {lacking.min()})",
        ),
        (
            "variance of the published doubles that the gene numbers alone explain",
            f"{np.corrcoef(fitted, published['k_pred'])[0, 1] ** 2:.3f}",
            "",
            "",
        ),
    ]


def _double(cells: AnnData, published: pd.DataFrame) -> np.ndarray:
    """Knock out the published pairs; return their impacts in the published order."""
    pairs = published[["gene1_id", "gene2_id"]].drop_duplicates().astype(str)
    dko.tl.double_ko(cells, list(pairs.itertuples(index=False, name=None)))
    ours = dko.get.pairs(cells)
    columns = ours[["gene_a", "gene_b"]].astype(int).to_numpy()
    columns.sort(axis=1)
    ours = pd.Series(ours["impact"].to_numpy(), index=pd.MultiIndex.from_arrays([*columns.T, ours["cell"].astype(int)]))
    wanted = pd.MultiIndex.from_frame(published[["gene1_id", "gene2_id", "cell_id"]])
    return ours.reindex(wanted).to_numpy()


def _published_sums(doubles: pd.DataFrame) -> np.ndarray:
    """Add the published single impacts of both genes in the same cell."""
    singles = pd.read_csv(SINGLES).set_index(["gene_id", "cell_id"])["k_pred"]
    first, second = (
        singles.reindex(pd.MultiIndex.from_frame(doubles[[gene, "cell_id"]])).to_numpy()
        for gene in ("gene1_id", "gene2_id")
    )
    return first + second


def _rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    return float(spearmanr(a, b).statistic)


def whole_run(folder: str) -> None:
    """Do the workflow of the reference: map test cells, knock out one and two genes, write four tables."""
    dko.settings.verbosity = 0
    adata = dko.io.read_reference(CELLS)
    dko.tl.fit(adata, preset="paper", test_fraction=0.2, key_added="mapping")
    dko.io.write_reference(adata, folder, key="mapping")
    dko.tl.fit(adata, preset="paper")
    dko.tl.scan(adata)
    dko.tl.double_ko(adata)
    dko.io.write_reference(adata, folder)


def _time_rows() -> list[Row]:
    """Time whole runs (two fits, all singles, 50,000 doubles, four tables) in fresh processes."""
    walls, cpus = [], []
    for _ in tqdm(SEEDS, desc="whole runs"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", f"from {__name__} import whole_run; whole_run({folder!r})"]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True)
            walls.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [
        (
            f"whole run (imports included), {unit} seconds",
            f"{np.median(seconds):.1f}",
            f"{min(seconds):.1f} to {max(seconds):.1f}",
            "about 84 s (its knockout notebook alone, not run here)" if unit == "wall" else "",
        )
        for unit, seconds in (("wall", walls), ("CPU", cpus))
    ]
