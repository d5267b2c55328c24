"""``dko rank``: keystone genes, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import keys
from . import _csv, _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Rank genes by the downstream impact of their knockouts, which is how far the other genes move, with
intervals and p-values, and write the cells with the ranking to OUT. Needs a scan. Prints the first ten
genes, or the first three of each group, those up to a false discovery rate of 0.05 before all others."""

_EXAMPLES = """\
examples:
  dko rank scanned.h5ad --out ranked.h5ad
  dko rank scanned.h5ad --out ranked.h5ad --groupby cell_type --table keystones.csv"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "rank", help="rank genes, with intervals and p-values", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a scan")
    parser.add_argument(
        "--groupby", metavar="COLUMN", help="obs column: a ranking per group (default: that of the fit)"
    )
    parser.add_argument("--groups", metavar="GROUP", nargs="+", help="only these groups of --groupby (default: all)")
    parser.add_argument(
        "--by",
        default="downstream_mean",
        metavar="COLUMN",
        help="rank by downstream_mean, impact_mean (own share included) or, with groups, specificity "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="MARK",
        help="leave out genes of these marks: ribosomal, mitochondrial, 'few cells' (default: none)",
    )
    _csv.add_table(parser, "a row per gene and group")
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser, device=False)


def run(args: argparse.Namespace) -> None:
    """Rank genes and print the first."""
    from .. import get
    from ..tl import rank_genes
    from ._cells import open_fitted, save_cells
    from ._significance_tables import rank_table

    _csv.check_table(args)
    data, adata, _ = open_fitted(args, keys.DKO)
    rank_genes(
        data,
        groupby=args.groupby,
        groups=args.groups,
        by=args.by,
        exclude=args.exclude,
        key=args.key,
        mod=args.mod,
        rng=args.rng,
    )
    save_cells(data, args)  # first: whatever becomes of the tables, the ranking is kept
    found = get.ranking(adata, groupby=args.groupby, key=args.key)
    _csv.write_table(found, args)
    print(rank_table(found))
