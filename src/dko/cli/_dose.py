"""``dko dose``: knock out named genes by degrees."""

from __future__ import annotations

import argparse
from typing import Any

from . import _options

_DESCRIPTION = """\
Predict what the same cells look like at each of several doses of a knockout, and write the cells with
the curves to OUT. Prints, for each knockout and dose, the mean impact over the cells that express the
gene, or over control cells with a fit of --model sccvae, and how many other genes change."""

_EXAMPLES = """\
examples:
  dko dose fitted.h5ad CD74 --out doses.h5ad
  dko dose fitted.h5ad CD74+FTL --doses 0,0.5,1 --mixture --out doses.h5ad"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "dose", help="knock out a few genes by degrees", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    _options.add_knockouts(parser)
    parser.add_argument(
        "--doses", type=_numbers, metavar="X,Y", help="doses, separated by commas (default: 0, 0.1 and so on to 1)"
    )
    parser.add_argument(
        "--extrapolate", action="store_true", help="allow doses outside 0 to 1, with --model sccvae and graded doses"
    )
    _options.add_groups(parser)
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Predict the curves and print them."""
    from ..tl import dose_response
    from ._cells import open_fitted, save_cells
    from ._tables import dose_table

    data, adata, fitted = open_fitted(args)
    dose_response(
        data,
        _options.knockouts(args.genes, fitted.targets or adata.var_names),
        doses=args.doses,
        mixture=args.mixture,
        extrapolate=args.extrapolate,
        groups=_options.groups(args.groups, adata, fitted.params.get("groupby")),
        key=args.key,
        mod=args.mod,
        device=args.device,
        rng=args.rng,
    )
    save_cells(data, args)  # first: whatever becomes of the table, the curves are kept
    print(dose_table(adata, key=args.key))


def _numbers(text: str) -> list[float]:
    """Read ``0,0.5,1``."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers separated by commas, such as 0,0.5,1") from error
