"""``dko scan``: knock out every gene in every cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core import keys
from . import _csv, _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Knock out every gene in every cell that expresses it, one at a time, and write the cells with all
impacts to OUT. Prints the keystone genes, the first ten or the first three of each group of the fit:
those of the largest mean downstream impact over the cells that express them, which is how far the other
genes move. The impact of the whole profile, of which the gene's own share is a part, stands beside it."""

_EXAMPLES = """\
examples:
  dko scan fitted.h5ad --out scanned.h5ad
  dko scan fitted.h5ad --out scanned.h5ad --groups cell_type=Dendritic --table impacts.csv.gz"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("scan", help="knock out every gene", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    parser.add_argument(
        "--genes",
        type=_options.names,
        metavar="G1,G2",
        help="only these genes, or @FILE with one per line (default: all)",
    )
    _options.add_groups(parser)
    _csv.add_table(parser, "a row per gene and cell, gene_id, cell_id, impact")
    parser.add_argument(
        "--impacts",
        metavar="FILE",
        type=Path,
        help="write the impacts to this .zarr or .h5ad, block by block, instead of into OUT, and print no ranking: for "
        "more of them than fit into memory",
    )
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Scan and print the keystone genes."""
    from ..get import impact_table
    from ..tl import scan
    from ._cells import check_beside, open_fitted, save_cells
    from ._tables import keystone_table

    if None not in (args.impacts, args.table):
        raise ValueError("--table is made of impacts in memory, which --impacts writes to a file; name one of the two.")
    check_beside(args, "table", "impacts")
    data, adata, fitted = open_fitted(args, keys.DKO)
    groups = _options.groups(args.groups, adata, fitted.params.get("groupby"))
    scan(data, genes=args.genes, groups=groups, out=args.impacts, key=args.key, mod=args.mod, device=args.device)
    save_cells(data, args)  # first: whatever becomes of the tables, the impacts are kept
    if args.impacts is not None:
        return
    if args.table is not None:
        _csv.write_table(impact_table(adata, key=args.key), args)
    print(keystone_table(adata, n_genes=3 if fitted.groups else 10, key=args.key))
