"""``dko demo``: from fit to plots on real cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _options

if TYPE_CHECKING:
    import argparse

    from anndata import AnnData

_CELL_TYPE = "cell_type"
_FILES = ("impact.png", "ranking.png", "fit.png", "history.png", "demo.h5ad")

_DESCRIPTION = """\
Fit, scan and plot 700 human blood cells of ten types that come with scanpy; nothing is downloaded.
Prints how well cells that did not train are predicted, the keystone genes of each cell type, whose
knockouts move the other genes furthest, and what the knockout of the first of them changes. Writes plots and the
cells with all results to DIR, over those of an earlier demo."""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", help="fit, scan and plot real blood cells", description=_DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("demo"), help="folder to write to (default: %(default)s)"
    )
    _options.add_rng(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    from .. import datasets, get, tl
    from .._core import keys
    from ._cells import check_folder
    from ._tables import change_table, keystone_table, quality_table

    check_folder(args.out, _FILES)
    adata = datasets.pbmc68k()
    print(f"{adata.n_obs} human blood cells (PBMC) of {adata.obs[_CELL_TYPE].nunique()} types, {adata.n_vars} genes\n")

    # One model for all cells: most of the types have too few for one of their own.
    tl.fit(adata, test_fraction=0.2, rng=args.rng, device=args.device, progress=not args.quiet)
    print(quality_table(adata, key=keys.DEFAULT, groupby=_CELL_TYPE), end="\n\n", flush=True)

    tl.scan(adata, device=args.device)
    print(keystone_table(adata, key=keys.DEFAULT, groupby=_CELL_TYPE, n_genes=3))
    print(_READING, end="\n\n")

    top = get.ranking(adata)["gene"].head(4).tolist()
    tl.virtual_ko(adata, top[0], device=args.device)
    print(change_table(adata, top[0], key=keys.DEFAULT, n_genes=5), end="\n\n", flush=True)

    _write(adata, top, args.out)
    print(_NEXT.format(folder=args.out, gene=top[0]))


_READING = """\
FDR: of evidence that other genes depend on it, over all cells. Sizes are those of correlation: what is
causal is at most that."""

_NEXT = """\
Look at, in {folder}:
  impact.png     where in the UMAP the knockouts of the four strongest genes hit
  ranking.png    keystone genes of each cell type
  fit.png        observed and predicted profiles of the test cells
  history.png    how the loss fell
  demo.h5ad      the cells with all results, for scanpy: sc.pl.umap(adata, color="{gene}", layer="dko_downstream")

Next, your own cells:
  dko fit cells.h5ad --out fitted.h5ad
  dko scan fitted.h5ad --out scanned.h5ad
  dko --help"""


def _write(adata: AnnData, top: list[str], folder: Path) -> None:
    """Write the plots and the cells."""
    import matplotlib

    # A command has no window to draw in.
    matplotlib.use("agg")
    from .. import pl
    from ..io._files import write_any, write_figure

    folder.mkdir(exist_ok=True)
    write_figure(pl.impact(adata, top, return_fig=True), folder / "impact.png")
    write_figure(pl.ranking(adata, groupby=_CELL_TYPE, n_genes=5, return_fig=True), folder / "ranking.png")
    write_figure(pl.fit(adata, return_fig=True), folder / "fit.png")
    write_figure(pl.history(adata, return_fig=True), folder / "history.png")
    write_any(adata, folder / "demo.h5ad")
