"""``dko affected``: genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import keys
from . import _csv, _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Tell which genes each knockout changes, in which direction, how surely, and whether no other knockout
does likewise, and write the cells with the answer to OUT. Prints the surest genes of each knockout:
change is what the model foretells, z what the cells show of the two genes alone."""

_EXAMPLES = """\
examples:
  dko affected fitted.h5ad CD74 FTL --out affected.h5ad
  dko affected fitted.h5ad CD74 --out affected.h5ad --groupby cell_type --table affected.csv"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "affected", help="tell which genes a knockout changes", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    parser.add_argument("genes", metavar="GENE", nargs="+", help="gene that is knocked out, each alone")
    parser.add_argument(
        "--groupby", metavar="COLUMN", help="obs column: an answer per group (default: that of the fit)"
    )
    _csv.add_table(parser, "a row per knockout, group and gene")
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Find the genes and print the surest."""
    from .. import get
    from ..tl import affected_genes
    from ._cells import open_fitted, save_cells
    from ._significance_tables import affected_table

    _csv.check_table(args)
    data, adata, _ = open_fitted(args, keys.DKO)
    affected_genes(data, args.genes, groupby=args.groupby, key=args.key, mod=args.mod, device=args.device, rng=args.rng)
    save_cells(data, args)  # first: whatever becomes of the tables, the answer is kept
    found = get.affected_genes(adata, args.genes, key=args.key)
    _csv.write_table(found, args)
    print(affected_table(found))
