"""``dko interactions``: pairs of genes that do more or less together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import keys
from . import _csv, _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Knock out all pairs of some genes in all cells that express both, compare their impact with that of both
alone and with that of unrelated genes, and write the cells with the pairs to OUT. Prints how many there
are of each class, and those that interact, the largest z first."""

_EXAMPLES = """\
examples:
  dko interactions fitted.h5ad CD74 FTL LYZ S100A9 --out pairs.h5ad
  dko interactions fitted.h5ad CD74 FTL LYZ --out pairs.h5ad --groupby cell_type --table pairs.csv"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "interactions", help="tell which pairs of genes interact", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    parser.add_argument("genes", metavar="GENE", nargs="+", help="genes, all pairs of which are knocked out")
    parser.add_argument("--groupby", metavar="COLUMN", help="obs column: pairs in each group (default: in all cells)")
    parser.add_argument(
        "--permutations", type=int, default=100, metavar="N", help="permutations of the null (default: %(default)s)"
    )
    _csv.add_table(parser, "a row per pair and group")
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Knock out the pairs and print those that interact."""
    from .. import get
    from ..tl import interactions
    from ._cells import open_fitted, save_cells
    from ._significance_tables import interaction_table

    _csv.check_table(args)
    data, adata, _ = open_fitted(args, keys.DKO)
    interactions(
        data,
        args.genes,
        groupby=args.groupby,
        n_permutations=args.permutations,
        key=args.key,
        mod=args.mod,
        device=args.device,
        rng=args.rng,
    )
    save_cells(data, args)  # first: whatever becomes of the tables, the pairs are kept
    found = get.interactions(adata, key=args.key)
    _csv.write_table(found, args)
    print(interaction_table(found))
