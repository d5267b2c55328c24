"""``dko report``: all results of a file on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Write one HTML page with everything that a file of results has: how well the fit does, what to be wary
of, keystone genes per cell type, affected genes, interactions, clusters, doses and modules, with pictures
and tables that can be sorted. It loads nothing, so it can be sent by mail. The cells are only read."""

_EXAMPLES = """\
examples:
  dko report scanned.h5ad                                  writes scanned.html
  dko report scanned.h5ad --groupby cell_type --out keystones.html --title "Keystone genes of blood" """


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report", help="write all results on one page", description=_DESCRIPTION, epilog=_EXAMPLES.rstrip()
    )
    parser.set_defaults(run=run)
    parser.add_argument("input", metavar="IN", type=Path, help="cells with a fit and results: .h5ad, .h5mu or .zarr")
    parser.add_argument("--out", metavar="HTML", type=Path, help="page to write (default: IN with the ending .html)")
    parser.add_argument(
        "--groupby", metavar="COLUMN", help="obs column of cell types (default: that of the ranking, or of the fit)"
    )
    parser.add_argument("--title", help="of the page (default: the name of IN)")
    parser.add_argument(
        "--n-genes", type=int, default=20, metavar="N", help="rows per group or knockout (default: %(default)s)"
    )
    _options.add_force(parser, "replace the page if it exists")
    _options.add_place(parser)
    _options.add_general(parser, device=False)


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    import matplotlib

    # A command has no window to draw in.
    matplotlib.use("agg")
    from ..io import write_report
    from ..io._files import read_any
    from ._cells import check_input, check_output, find_fit

    out = args.out or args.input.with_suffix(".html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {str(out)!r} has to end in .html.")
    check_input(args)
    check_output(out, args.force)
    data = read_any(args.input)
    find_fit(data, args)
    title = args.title or f"Virtual knockouts: {args.input.name}"
    write_report(data, out, groupby=args.groupby, key=args.key, mod=args.mod, title=title, n_genes=args.n_genes)
