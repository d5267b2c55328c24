"""``dko reproduce``: the workflow of the reference implementation, file to file."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _options

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from anndata import AnnData

_MAPPING, _KNOCKOUTS = "mapping", "dko"

_DESCRIPTION = """\
The workflow of arXiv 2510.03359 and its reference implementation, file to file, with the published
settings. Reads a headerless table of expression, a row per gene and a column per cell, and writes to DIR

  mapping_true.csv             observed profiles of the test cells (20 %), a row per cell, a column per gene
  mapping_prediction.csv       the same cells as a model predicts them that has not seen them
  Impact_results.csv           gene_id, cell_id, k_pred: every single knockout and its impact
  Impact_results_doubleKO.csv  gene1_id, gene2_id, cell_id, k_pred: double knockouts drawn at random

Genes and cells are numbered from 0, in the order of the table. Knockouts come from a second model, fitted
on all cells. Prints how well the test cells are predicted, beside what each gene's mean alone would give."""

_EXAMPLES = """\
examples:
  dko reproduce Ptrain.csv --out results
  dko reproduce Ptrain.csv.gz --out results --genes 0,5 --cells 0,1,2"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "reproduce", help="the paper's workflow, CSV to CSV", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    parser.add_argument("input", metavar="Ptrain.csv", type=Path, help="genes x cells, no header; also .csv.gz")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write to; made if need be")
    _options.add_force(parser, "replace the tables of an earlier run, all four of them")
    parser.add_argument("--genes", type=_options.names, metavar="0,5", help="knock out only these genes (default: all)")
    parser.add_argument("--cells", type=_options.names, metavar="0,1,2", help="only in these cells (default: all)")
    parser.add_argument("--n-samples", type=int, default=50_000, metavar="N", help="double knockouts (default: 50,000)")
    parser.add_argument("--max-steps", type=int, metavar="N", help="steps of each training (default: 5,000)")
    _options.add_rng(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Do the three steps; the tables of the test cells are written before the knockouts begin."""
    from ..io import read_reference, write_reference
    from ..io._reference import FILES
    from ..tl import fit, scan
    from ._tables import quality_table

    _check_folder(args.out, args.force)
    adata = read_reference(args.input)
    cells = _check_choice(args, adata)
    training = {
        "preset": "paper",
        # The published method has no limit.
        "n_top_genes": max(2, adata.n_vars),
        "max_steps": args.max_steps,
        "rng": args.rng,
        "device": args.device,
        "progress": not args.quiet,
    }
    fit(adata, test_fraction=0.2, key_added=_MAPPING, **training)
    # Only now that the fit, too, has found nothing wrong with the input; the tables of one run belong together.
    for name in FILES:
        # Links stay, as they do when a table is written.
        Path(os.path.realpath(args.out / name)).unlink(missing_ok=True)
    write_reference(adata, args.out, key=_MAPPING)
    print(quality_table(adata, key=_MAPPING, all_entries=True), flush=True)

    fit(adata, key_added=_KNOCKOUTS, **training)
    scan(adata, genes=args.genes, groups=cells, key=_KNOCKOUTS, device=args.device)
    try:
        _double(args, adata, cells)
    finally:
        # The single knockouts are kept whatever becomes of the double ones.
        write_reference(adata, args.out, key=_KNOCKOUTS)


def _double(args: argparse.Namespace, adata: AnnData, cells: np.ndarray | None) -> None:
    """Knock out pairs drawn at random, of the chosen genes if any were chosen; one gene has no pairs."""
    from ..tl import double_ko

    pairs = None if args.genes is None else list(combinations(dict.fromkeys(args.genes), 2))
    if pairs != []:
        double_ko(
            adata, pairs, n_samples=args.n_samples, groups=cells, key=_KNOCKOUTS, rng=args.rng, device=args.device
        )


def _check_choice(args: argparse.Namespace, adata: AnnData) -> np.ndarray | None:
    """Check what is to be knocked out before anything is fitted; return the chosen cells as a mask."""
    if args.n_samples < 1:
        raise ValueError(f"--n-samples {args.n_samples} must be at least 1.")
    for what, chosen, known in (("gene", args.genes, adata.var_names), ("cell", args.cells, adata.obs_names)):
        if missing := [name for name in chosen or [] if name not in known]:
            raise ValueError(f"No {what} {missing[0]!r} in {str(args.input)!r}; its {what}s are 0 to {len(known) - 1}.")
    if args.genes is not None and (silent := [gene for gene in args.genes if not adata[:, gene].X.sum() > 0]):
        raise ValueError(f"No cell expresses gene {silent[0]!r}, so it cannot be knocked out.")
    mask = None if args.cells is None else adata.obs_names.isin(args.cells)
    chosen = adata if mask is None else adata[mask]
    if args.genes is not None and not chosen[:, adata.var_names.isin(args.genes)].X.nnz:
        raise ValueError("No chosen cell expresses a chosen gene, so there is nothing to knock out.")
    return mask


def _check_folder(folder: Path, force: bool) -> None:
    """Refuse a folder that cannot be made or written to, or that holds an earlier run."""
    from ..io._reference import FILES
    from ._cells import check_folder

    check_folder(folder, FILES)
    if not force and (there := [name for name in FILES if (folder / name).exists()]):
        raise FileExistsError(f"{str(folder)!r} holds {there[0]!r} of an earlier run; add --force to replace it.")
