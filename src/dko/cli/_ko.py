"""``dko ko``: knock out named genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import keys
from . import _options

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Knock out genes in every cell that expresses them, and write the cells with the impacts, and with the
profiles after each knockout, to OUT. Prints the mean impact of each knockout. Genes joined by + are
removed together. With a fit of --model sccvae: predict what control cells look like with a
perturbation, of any gene that the model knows, measured or not."""

_EXAMPLES = """\
examples:
  dko ko fitted.h5ad CD74 FTL --out ko.h5ad
  dko ko fitted.h5ad CD74+FTL --out ko.h5ad --groups cell_type=Dendritic
  dko ko fitted.h5ad CD74 --dose 0.5 --no-profiles --out knockdown.h5ad
  dko ko perturbed.h5ad SOX2 NANOG+POU5F1 --dose 0.7 --mixture --out ko.h5ad"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("ko", help="knock out a few genes", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells with a fit")
    _options.add_knockouts(parser)
    parser.add_argument(
        "--dose", type=float, default=1.0, metavar="X", help="fraction to remove, or share of the shift (default: 1)"
    )
    parser.add_argument("--no-profiles", action="store_true", help="only the impacts, not the profiles")
    _options.add_groups(parser)
    _options.add_rng(parser)
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Knock out and print the impacts."""
    from ..tl import virtual_ko
    from ._cells import open_fitted, save_cells
    from ._tables import knockout_table

    data, adata, fitted = open_fitted(args)
    sets = _options.knockouts(args.genes, fitted.targets or adata.var_names)
    virtual_ko(
        data,
        sets,
        dose=args.dose,
        mixture=args.mixture,
        rng=args.rng,
        groups=_options.groups(args.groups, adata, fitted.params.get("groupby")),
        profiles=not args.no_profiles,
        key=args.key,
        mod=args.mod,
        device=args.device,
    )
    save_cells(data, args)  # first: whatever becomes of the table, the knockouts are kept
    labels = [keys.label([genes] if isinstance(genes, str) else set(genes)) for genes in sets]
    print(knockout_table(adata, list(dict.fromkeys(labels)), key=args.key))
