"""The demo: from a fit to plots, of cells that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .. import datasets, get, tl
from .._core import results
from .._core.genes import KINDS
from .._settings import settings
from ..io import write_report
from ..io._files import write_any, write_figure
from ..io._target import check_folder
from ..report import open_run
from ._commands import show

_FLAG: Any = Parameter(negative=(), show_default=False)
_CELL_TYPE = "cell_type"


def demo(
    *,
    out: Path = Path("demo"),
    rng: int = 0,
    device: str = "auto",
    quiet: Annotated[bool, _FLAG] = False,
    debug: Annotated[bool, _FLAG] = False,
) -> None:
    """Fit, scan and plot 700 human blood cells of ten types that come with scanpy; nothing is downloaded.

    Prints how well held-out cells are predicted, the keystone genes of each cell type, whose knockouts change the other
    genes most, and what the knockout of the first of them changes. Writes these tables, plots, a report and the cells
    with all results to a folder, over those of an earlier demo.

    Parameters
    ----------
    out
        Folder to write to.
    rng
        Seed of all random numbers.
    device
        Where to compute: auto, cpu, cuda, cuda:1, mps.
    quiet
        No messages and no progress bars, results only.
    debug
        Show the traceback of an error.
    """
    by_type = {"groupby": _CELL_TYPE}
    files: dict[str, tuple[str, str, dict[str, Any]]] = {
        "impact.png": ("impact", "where in the UMAP the strongest genes of four cell types matter", by_type),
        "ranking.png": ("ranking", "keystone genes of each cell type", {"n_genes": 5}),
        "affected.png": ("effect", "genes that change without the first of them, up or down", {}),
        "fit.png": ("fit", "observed and predicted profiles of the test cells", {}),
    }
    others = {
        "ranking.csv": "all genes of each cell type, ranked: the table that is printed has the first three",
        "affected.csv": "all genes that the knockout of the first gene changes",
        "report.html": "all of it on one page",
    }
    check_folder(out, [*files, *others, "demo.h5ad"])
    with settings.override(verbosity=0 if quiet else settings.verbosity):
        adata = datasets.pbmc68k()
        print(f"{adata.n_obs} human blood cells of {adata.obs[_CELL_TYPE].nunique()} types, {adata.n_vars} genes\n")
        # One model for all cells: most of the types have too few for one each.
        tl.fit(adata, test_fraction=0.2, rng=rng, device=device, progress=not quiet)
        show(open_run(adata, groupby=_CELL_TYPE), results.QUALITY)
        tl.scan(adata, device=device)
        tl.rank_genes(adata, groupby=_CELL_TYPE, exclude=KINDS, rng=rng)
        show(open_run(adata, n_rows=3), results.RANKING)
        ranking = get.ranking(adata)
        strongest = ranking.drop_duplicates("group").sort_values("downstream_mean", ascending=False, kind="stable")
        top, where = strongest["gene"].unique()[:4].tolist(), strongest["group"].iloc[0]
        tl.virtual_ko(adata, top[0], device=device)
        tl.affected_genes(adata, top[0], groupby=_CELL_TYPE, groups=[where], device=device, rng=rng)
        run = open_run(adata, n_rows=5)
        show(run, results.AFFECTED)
        out.mkdir(parents=True, exist_ok=True)
        for name, (plot, _, how) in files.items():
            write_figure(run.draw(plot, *([top] if plot == "impact" else []), **how), out / name)
        ranking.to_csv(out / "ranking.csv", index=False)
        get.affected_genes(adata, top[0]).to_csv(out / "affected.csv", index=False)
        write_any(adata, out / "demo.h5ad")
        write_report(adata, out / "report.html", title="Virtual knockouts in blood cells")
        print(f"Look at, in {out}:")
        shown = {name: what for name, (_, what, _) in files.items()} | others
        print("\n".join(f"  {name:14} {what}" for name, what in shown.items()))
        print(f'  demo.h5ad      the cells, for scanpy: sc.pl.umap(adata, color="{top[0]}", layer="dko_downstream")\n')
        print("Next, your own cells:\n  dko fit cells.h5ad --out fitted.h5ad\n  dko scan fitted.h5ad --out out.h5ad")
