"""``dko fit``: learn from the cells of a file."""

from __future__ import annotations

import argparse
from typing import Any

from . import _options

_DESCRIPTION = """\
Learn how the genes that are present in a cell determine its expression profile, and write the cells
with the fitted model to OUT. Prints how well cells that did not train are predicted, beside what each
gene's mean alone would give. Ctrl-C ends the training and keeps the best weights so far."""

_EXAMPLES = """\
examples:
  dko fit cells.h5ad --out fitted.h5ad
  dko fit cells.h5ad --out fitted.h5ad --layer counts --groupby cell_type --test-fraction 0.2
  dko fit cells.h5mu --out fitted.h5mu --genes CD74,FTL --n-top-genes 1000"""

# Those that keep their name on the way to dko.tl.fit; what is not given is left to its defaults.
_OPTIONS = (
    *("layer", "use_raw", "log1p", "genes", "n_top_genes", "groupby", "perturbation_key", "control"),
    *("preset", "max_epochs", "max_steps", "batch_size", "learning_rate"),
    *("validation_fraction", "test_fraction", "patience", "rank", "effects", "rng", "device"),
)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fit", help="learn from the cells of a file", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells")
    _add_expression(parser)
    _add_training(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def _add_expression(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("expression")
    group.add_argument("--layer", help="layer that holds it (default: X)")
    group.add_argument("--use-raw", action="store_true", help="take it from raw")
    group.add_argument(
        "--log1p",
        action=argparse.BooleanOptionalAction,
        help="the values are, or are not, log1p values (default: find out)",
    )
    group.add_argument(
        "--genes",
        type=_options.names,
        metavar="G1,G2",
        help="genes that the model has to take, or @FILE with one per line (default: all, or the most variable 2,000)",
    )
    group.add_argument("--n-top-genes", type=int, metavar="N", help="number of genes in all")
    group.add_argument("--groupby", metavar="COLUMN", help="obs column, such as cell_type: one model per group")
    group.add_argument("--perturbation-key", metavar="COLUMN", help="obs column that names the perturbation of a cell")
    group.add_argument("--control", metavar="VALUE", help="its value for unperturbed cells: only these train")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset", choices=["paper"], help="paper: train as published (default: until nothing is gained)"
    )
    group.add_argument("--max-epochs", type=int, metavar="N", help="passes over the training cells at most")
    group.add_argument("--max-steps", type=int, metavar="N", help="steps at most")
    group.add_argument("--batch-size", type=int, metavar="N", help="cells per step")
    group.add_argument("--learning-rate", type=float, metavar="X", help="step size")
    group.add_argument(
        "--validation-fraction", type=float, metavar="X", help="share that chooses the weights (default: 0.2)"
    )
    group.add_argument("--test-fraction", type=float, metavar="X", help="share of the cells kept out (default: 0)")
    group.add_argument("--patience", type=int, metavar="N", help="validations without progress until the end")
    group.add_argument("--rank", type=int, metavar="N", help="keep the influence as a product of this rank: many genes")
    group.add_argument(
        "--effects",
        choices=["auto", "direct", "total"],
        help="of a knockout on other genes: with all else as it is, or on all paths (default: what suits the cells)",
    )
    group.add_argument("--rng", type=int, default=0, metavar="SEED", help="seed of all random numbers (default: 0)")


def run(args: argparse.Namespace) -> None:
    """Fit and print how well."""
    from ..tl import fit
    from ._cells import open_cells, save_cells
    from ._tables import quality_table

    data = open_cells(args)
    given = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    fit(data, mod=args.mod, key_added=args.key, progress=not args.quiet, **given)
    save_cells(data, args)  # first: whatever becomes of the table, the fit is kept
    print(quality_table(data, key=args.key, mod=args.mod))
