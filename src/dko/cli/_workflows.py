"""Commands that are several steps, or none: the demo, the report, and the workflow of the reference implementation."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from anndata import AnnData
from cyclopts import Parameter
from scipy.stats import spearmanr

from .. import datasets, get, io, tl
from .._core import results
from .._core.messages import listed, require_known, unknown
from .._settings import settings
from ..io._files import write_any, write_figure
from ..io._reference import FILES
from ..io._target import check_folder
from ..report import open_run
from ._commands import names, show

_FLAG: Any = {"negative": (), "show_default": False}
Seed = Annotated[int, Parameter(help="Seed of all random numbers.")]
Device = Annotated[str, Parameter(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
Force = Annotated[bool, Parameter(help="Replace files that exist.", **_FLAG)]
Quiet = Annotated[bool, Parameter(help="No messages and no progress bars, results only.", **_FLAG)]
Debug = Annotated[bool, Parameter(help="Show the traceback of an error.", **_FLAG)]
_CELL_TYPE = "cell_type"


def command(name: str) -> Callable[..., None]:
    return demo if name == "demo" else reproduce


def demo(
    *, out: Path = Path("demo"), rng: Seed = 0, device: Device = "auto", quiet: Quiet = False, debug: Debug = False
) -> None:
    """Fit, scan and plot 700 human blood cells of ten types that come with scanpy; nothing is downloaded.

    Prints how well held-out cells are predicted, the keystone genes of each cell type, whose knockouts change the other
    genes most, and what the knockout of the first of them changes. Writes plots and the cells with all results to a
    folder, over those of an earlier demo.

    Parameters
    ----------
    out
        Folder to write to.
    """
    files = {
        "impact.png": ("impact", "where in the UMAP the knockouts of the four strongest genes have an impact", {}),
        "ranking.png": ("ranking", "keystone genes of each cell type", {"groupby": _CELL_TYPE, "n_genes": 5}),
        "fit.png": ("fit", "observed and predicted profiles of the test cells", {}),
        "history.png": ("history", "how the loss fell", {}),
    }
    check_folder(out, [*files, "demo.h5ad"])
    with settings.override(verbosity=0 if quiet else settings.verbosity):
        adata = datasets.pbmc68k()
        print(f"{adata.n_obs} human blood cells of {adata.obs[_CELL_TYPE].nunique()} types, {adata.n_vars} genes\n")
        # One model for all cells: most of the types have too few for one each.
        tl.fit(adata, test_fraction=0.2, rng=rng, device=device, progress=not quiet)
        show(open_run(adata, groupby=_CELL_TYPE), results.QUALITY)
        tl.scan(adata, device=device)
        show(open_run(adata, groupby=_CELL_TYPE, n_rows=3), results.RANKING)
        top = get.ranking(adata)["gene"].head(4).tolist()
        tl.virtual_ko(adata, top[0], device=device)
        tl.affected_genes(adata, top[0], device=device, rng=rng)
        show(open_run(adata, n_rows=5), results.AFFECTED)
        run = open_run(adata)
        out.mkdir(parents=True, exist_ok=True)
        for name, (plot, _, how) in files.items():
            write_figure(run.draw(plot, *([top] if plot == "impact" else []), **how), out / name)
        write_any(adata, out / "demo.h5ad")
        print(f"Look at, in {out}:")
        print("\n".join(f"  {name:14} {what}" for name, (_, what, _) in files.items()))
        print(f'  demo.h5ad      the cells, for scanpy: sc.pl.umap(adata, color="{top[0]}", layer="dko_downstream")\n')
        print("Next, your own cells:\n  dko fit cells.h5ad --out fitted.h5ad\n  dko scan fitted.h5ad --out out.h5ad")


def reproduce(
    input: Annotated[Path, Parameter(name="TABLE")],
    /,
    *,
    out: Path,
    genes: str | None = None,
    cells: str | None = None,
    n_samples: int = 50_000,
    max_steps: int | None = None,
    rng: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Do the workflow of arXiv 2510.03359 and its reference implementation, with the published settings.

    Writes to a folder
      mapping_true.csv             observed profiles of the test cells (20 %), a row per cell, a column per gene
      mapping_prediction.csv       the same cells as predicted by a model that was trained without them
      Impact_results.csv           gene_id, cell_id, k_pred: every single knockout and its impact
      Impact_results_doubleKO.csv  gene1_id, gene2_id, cell_id, k_pred: double knockouts drawn at random

    Genes and cells are numbered from 0, in the order of the table. Knockouts come from a second model, fitted on all
    cells. Prints how well the test cells are predicted, beside what each gene's mean alone would give.

    Examples
    --------
      dko reproduce Ptrain.csv.gz --out results --genes 0,5 --cells 0,1,2

    Parameters
    ----------
    input
        Headerless table of expression, a row per gene and a column per cell; also .csv.gz.
    out
        Folder to write to; made if need be.
    genes
        Knock out only these genes: 0,5; all by default.
    cells
        Only in these cells: 0,1,2; all by default.
    n_samples
        Double knockouts.
    max_steps
        Steps of each training; 5,000 by default.
    """
    if n_samples < 1:
        raise ValueError(f"--n-samples {n_samples} must be at least 1.")
    check_folder(out, FILES)
    if not force and (there := [name for name in FILES if (out / name).exists()]):
        raise FileExistsError(f"{str(out)!r} holds {there[0]!r} of an earlier run; add --force to replace it.")
    with settings.override(verbosity=0 if quiet else settings.verbosity):
        adata = io.read_reference(input)
        chosen, among = (None if words is None else names(words) for words in (genes, cells))
        mask = _check_choice(adata, chosen, among)
        training: dict[str, Any] = {"preset": "paper", "max_steps": max_steps, "rng": rng, "device": device}
        # The published method has no limit.
        training |= {"n_top_genes": max(2, adata.n_vars), "progress": not quiet}
        tl.fit(adata, test_fraction=0.2, key_added="mapping", **training)
        # Only now that the fit, too, has found nothing wrong with the input; the tables of one run belong together.
        for name in FILES:
            # Links stay, as they do when a table is written.
            Path(os.path.realpath(out / name)).unlink(missing_ok=True)
        io.write_reference(adata, out, key="mapping")
        show(open_run(adata, key="mapping"), results.QUALITY)
        # What the publication gives; any prediction with the right zeros has it high.
        test = get.profiles(adata, split="test", key="mapping")
        found = spearmanr(test.X.toarray().ravel(), test.layers["predicted"].toarray().ravel()).statistic
        print(f"Spearman correlation over all entries, zeros included: {found:.4f}")

        tl.fit(adata, key_added="dko", **training)
        tl.scan(adata, genes=chosen, groups=mask, device=device)
        pairs = None if chosen is None else list(combinations(dict.fromkeys(chosen), 2))
        try:
            if pairs != []:  # one gene has no pairs
                tl.double_ko(adata, pairs, n_samples=n_samples, groups=mask, rng=rng, device=device)
        finally:
            # The single knockouts are kept whatever becomes of the double ones.
            io.write_reference(adata, out, key="dko")


def _check_choice(adata: AnnData, genes: list[str] | None, cells: list[str] | None) -> np.ndarray | None:
    """Check what is to be knocked out before anything is fitted; return the chosen cells as a mask."""
    require_known(genes, adata)
    if absent := [cell for cell in cells or [] if cell not in adata.obs_names]:
        raise ValueError(unknown("cell", absent, adata.obs_names, f"the table, which has 0 to {adata.n_obs - 1}"))
    mask = None if cells is None else adata.obs_names.isin(cells)
    chosen = adata if mask is None else adata[mask]
    silent = [gene for gene in genes or [] if not adata[:, gene].X.sum() > 0]
    if silent or (genes and not chosen[:, genes].X.sum() > 0):
        raise ValueError(f"No chosen cell expresses {listed(silent or genes or [])}, so there is nothing to knock out.")
    return mask
