"""``dko modules``: knockouts that do the same kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Group knockouts by the kind of their effect, set apart those whose effect cannot be told from chance,
and write the cells with the modules to OUT. Of a fit of --model sccvae these are perturbations,
measured or not. Prints each module with its knockouts, the strongest first, and the genes that set
it apart."""

_EXAMPLES = """\
examples:
  dko modules perturbed.h5ad --out modules.h5ad
  dko modules perturbed.h5ad --out modules.h5ad --genes SOX2,MYC,NANOG+POU5F1 --resolution 1.5"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "modules", help="group knockouts by what they do", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    parser.add_argument(
        "--genes",
        type=_options.names,
        metavar="G1,G2+G3",
        help="only these, or @FILE with one per line (default: those with an effect, or all trained ones)",
    )
    parser.add_argument(
        "--resolution", type=float, default=1.0, metavar="X", help="the higher, the more modules (default: 1)"
    )
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Find the modules and print them."""
    from ..tl import perturbation_modules
    from ._cells import open_fitted, save_cells
    from ._perturbation_tables import module_table

    data, adata, fitted = open_fitted(args)
    try:
        perturbation_modules(
            data,
            None if args.genes is None else _options.knockouts(args.genes, fitted.targets or fitted.genes),
            resolution=args.resolution,
            key=args.key,
            mod=args.mod,
            device=args.device,
            rng=args.rng,
        )
    except ImportError as error:
        # What many perturbations need does not come with this package; it says how to get it.
        raise ValueError(str(error)) from error
    save_cells(data, args)  # first: whatever becomes of the table, the modules are kept
    print(module_table(adata, key=args.key))
