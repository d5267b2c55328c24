"""``dko fit``: learn from the cells of a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._core import keys
from . import _options

_DESCRIPTION = """\
Learn how the genes that are present in a cell determine its expression profile, and write the cells
with the fitted model to OUT. Prints how well cells that did not train are predicted, beside what each
gene's mean alone would give. Ctrl-C ends the training and keeps the best weights so far (of several
members, those that were trained to the end).

With --model sccvae: learn from cells of some perturbations, beside control cells, what any perturbation
does. Prints what became of each perturbation, and its strength."""

_EXAMPLES = """\
examples:
  dko fit cells.h5ad --out fitted.h5ad
  dko fit cells.h5ad --out fitted.h5ad --layer counts --groupby cell_type --test-fraction 0.2
  dko fit cells.h5mu --out fitted.h5mu --genes CD74,FTL --n-top-genes 1000
  dko fit cells.h5ad --out fitted.h5ad --prior collectri.csv
  dko fit screen.h5ad --out fitted.h5ad --model sccvae --perturbation-key gene --control ctrl"""

# Those that keep their name on the way to dko.tl.fit; what is not given is left to its defaults.
_COMMON = (
    *("layer", "use_raw", "log1p", "genes", "n_top_genes", "perturbation_key", "control"),
    *("preset", "max_epochs", "max_steps", "batch_size", "learning_rate"),
    *("validation_fraction", "test_fraction", "patience", "rng", "device"),
)
_OF_MODEL = {
    keys.DKO: ("groupby", "rank", "effects", "prior"),
    keys.SCCVAE: (
        *("holdout", "test_controls", "normalize", "min_cells"),
        *("features", "code", "n_members", "graph"),
    ),
}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fit", help="learn from the cells of a file", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    _options.add_files(parser, "cells")
    parser.add_argument(
        "--model",
        choices=[keys.DKO, keys.SCCVAE],
        default=keys.DKO,
        help="dko: from unperturbed cells alone; sccvae: from measured perturbations (default: %(default)s)",
    )
    _add_expression(parser)
    _add_training(parser)
    _add_perturbations(parser)
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
        help="genes that the model has to take, or @FILE with one per line (default: all, or the most variable 2,000; "
        "with sccvae 5,000)",
    )
    group.add_argument("--n-top-genes", type=int, metavar="N", help="number of genes in all")
    group.add_argument(
        "--groupby", metavar="COLUMN", help="obs column, such as cell_type: one model per group (not with sccvae)"
    )
    group.add_argument("--perturbation-key", metavar="COLUMN", help="obs column that names the perturbation of a cell")
    group.add_argument("--control", metavar="VALUE", help="its value for unperturbed cells: with dko only these train")


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
    group.add_argument(
        "--rank",
        type=int,
        metavar="N",
        help="keep the influence as a product of this rank: many genes (not with sccvae)",
    )
    group.add_argument(
        "--effects",
        choices=["auto", "direct", "total"],
        help="of a knockout on other genes: with all else as it is, or on all paths (default: what suits the cells; "
        "not with sccvae)",
    )
    group.add_argument(
        "--prior",
        metavar="FILE",
        type=Path,
        help="known regulation, a CSV file with the columns source, target and weight, or effects measured elsewhere: "
        "CSV or h5ad of perturbed genes x genes, log fold changes (not with sccvae)",
    )
    _options.add_rng(group)


def _add_perturbations(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("perturbations, with --model sccvae")
    group.add_argument(
        "--holdout",
        type=_options.names,
        metavar="G1,G2+G3",
        help="perturbations to keep out of the fit altogether, or @FILE with one per line",
    )
    group.add_argument(
        "--test-controls",
        type=float,
        metavar="X",
        help="share of the control cells to keep out, for effects to be measured against (default: 0)",
    )
    group.add_argument(
        "--normalize", action="store_true", default=None, help="the values are counts: normalise and log"
    )
    group.add_argument(
        "--min-cells", type=int, metavar="N", help="leave out perturbations of fewer cells (default: 20)"
    )
    group.add_argument(
        "--features",
        choices=["influence", "pca", "onehot"],
        help="of genes: regulatory effects or expression PCA in control cells, or one-hot, also for unmeasured "
        "ones (default: influence)",
    )
    group.add_argument(
        "--code",
        choices=["neighbours", "softmax"],
        help="how a gene becomes a shift: by similar ones, or by a network, as published (default: neighbours)",
    )
    group.add_argument(
        "--n-members", type=int, metavar="N", help="models to fit and average, each of which takes as long (default: 3)"
    )
    group.add_argument(
        "--graph",
        choices=["full", "none"],
        help="which latent dimension may act on which (default: full)",
    )


def run(args: argparse.Namespace) -> None:
    """Fit and print how well."""
    from ..io._files import read_prior
    from ..tl import fit
    from ._cells import open_cells, save_cells

    _check_model(args)
    if args.prior is not None:
        args.prior = read_prior(args.prior)
    data = open_cells(args)
    names = (*_COMMON, *_OF_MODEL[args.model])
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    fit(data, model=args.model, mod=args.mod, key_added=args.key, progress=not args.quiet, **given)
    save_cells(data, args)  # first: whatever becomes of the table, the fit is kept
    if args.model == keys.SCCVAE:
        from ._perturbation_tables import perturbation_table as table
    else:
        from ._tables import quality_table as table
    print(table(data, key=args.key, mod=args.mod))


def _check_model(args: argparse.Namespace) -> None:
    """Refuse options of the other model, and a model of perturbations without --perturbation-key."""
    other = keys.DKO if args.model == keys.SCCVAE else keys.SCCVAE
    if wrong := [f"--{name.replace('_', '-')}" for name in _OF_MODEL[other] if getattr(args, name) is not None]:
        verb = "is an option" if len(wrong) == 1 else "are options"
        raise ValueError(f"{', '.join(wrong)} {verb} of --model {other}, not of {args.model}.")
    if args.model == keys.SCCVAE and None in (args.perturbation_key, args.control):
        raise ValueError(
            "--model sccvae learns from measured perturbations: name their obs column with --perturbation-key, and its "
            "value for unperturbed cells with --control."
        )
