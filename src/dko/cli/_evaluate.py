"""``dko evaluate``: hold predicted against measured knockouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _options

if TYPE_CHECKING:
    import argparse

    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure
    from mudata import MuData

_DESCRIPTION = """\
Score the knockouts that a fit predicts against cells in which the genes were knocked out, beside
baselines that need no model. The fit has to be of the unperturbed cells; of an SCCVAE, perturbations that
it was not trained on are scored, or else test cells of those that it was. Prints the mean of each score
over the perturbations whose effect two halves of their cells agree on; the cells are only read."""

_EXAMPLES = """\
examples:
  dko evaluate fitted.h5ad --perturbation-key gene --control non-targeting
  dko evaluate fitted.h5ad --perturbation-key gene --control non-targeting --out scores.csv --plot scores.png"""

# What is printed, under shorter names; the rest is in the table.
_COLUMNS = {
    "pearson": "Pearson",
    "pearson_centred": "beyond",
    "calibration_slope": "slope",
    "relative_error": "error",
    "direction_50": "signs",
    "auprc": "AUPRC",
    "auroc_matched": "AUROC",
    "retrieval": "retrieval",
    "impact_ranking": "impacts",
    "similarity": "similarity",
}
_READING = """\
Pearson: of predicted and measured effect. slope: the factor that is missing to the measured size,
so 1 is right. error: squared error over that of no change, so below 1 is a gain.
signs: right ones among the 50 genes that change most.
AUPRC, AUROC: finding the genes that change, the latter at matched expression. retrieval: other knockouts that
fit worse. By chance, signs, AUROC and retrieval are 0.5. impacts: rank correlation of predicted with measured
sizes. similarity: of predictions for different knockouts."""

_BEYOND = "beyond: Pearson after subtracting the mean effect of the training perturbations from both."


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate", help="compare with measured knockouts", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.set_defaults(run=run)
    parser.add_argument("input", metavar="IN", type=Path, help="cells with a fit: .h5ad, .h5mu or .zarr")
    parser.add_argument(
        "--perturbation-key", metavar="COLUMN", required=True, help="obs column of the gene that was knocked out"
    )
    parser.add_argument("--control", metavar="VALUE", required=True, help="its value for unperturbed cells")
    parser.add_argument(
        "--perturbations",
        type=_options.names,
        metavar="G1,G2",
        help="only these, or @FILE with one per line (default: all whose genes the model knows)",
    )
    parser.add_argument(
        "--oracle", action="store_true", help="also the strengths that fit the answer best, of an SCCVAE; no prediction"
    )
    parser.add_argument("--no-baselines", action="store_true", help="only the model, and no change")
    _options.add_rng(parser)
    parser.add_argument(
        "--out", metavar="CSV", type=Path, help="write a row per method and perturbation, a column per score"
    )
    parser.add_argument("--plot", metavar="PNG", type=Path, help="draw a score of all methods")
    parser.add_argument("--metric", default="pearson", help="which score to draw (default: %(default)s)")
    _options.add_force(parser, "replace the files of --out and --plot if they exist")
    _options.add_place(parser)
    _options.add_general(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate and print the summary."""
    from .. import get
    from .._core.messages import say
    from ..io._files import write_figure, write_table
    from ..tl import evaluate

    data = _open(args)
    evaluate(
        data,
        perturbation_key=args.perturbation_key,
        control=args.control,
        key=args.key,
        baselines=not args.no_baselines,
        perturbations=args.perturbations,
        oracle=args.oracle,
        rng=args.rng,
        mod=args.mod,
        device=args.device,
        progress=not args.quiet,
    )
    print(_spelled(get.evaluation(data, key=args.key, mod=args.mod)))
    # What cannot be drawn is known before anything is written.
    figure = None if args.plot is None else _figure(data, args)
    if args.out is not None:
        write_table(get.evaluation(data, summary=False, key=args.key, mod=args.mod), args.out)
        say(f"Wrote {args.out}.")
    if figure is not None:
        write_figure(figure, args.plot)
        say(f"Wrote {args.plot}.")


def _open(args: argparse.Namespace) -> AnnData | MuData:
    """Check the plot and the files that will be written, and read the cells, which have to hold a fit."""
    from ..io._files import read_any
    from ._cells import check_beside, check_input, find_fit

    check_input(args)
    check_beside(args, "out", "plot")
    _check_plot(args)
    data = read_any(args.input)
    find_fit(data, args)
    return data


def _check_plot(args: argparse.Namespace) -> None:
    from .._core.messages import unknown
    from ..pl._evaluation import LABELS

    if args.metric not in LABELS:
        raise ValueError(f"{unknown('metric', [args.metric], LABELS, '--metric')} There are {', '.join(LABELS)}.")
    if args.plot is None:
        return
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if args.plot.suffix.lower().removeprefix(".") not in kinds:
        raise ValueError(f"--plot {str(args.plot)!r} has to end in one of .{', .'.join(sorted(kinds))}.")


def _figure(data: AnnData | MuData, args: argparse.Namespace) -> Figure:
    import matplotlib

    # A command has no window to draw in.
    matplotlib.use("agg")
    from .. import pl

    return pl.evaluation(data, metric=args.metric, key=args.key, mod=args.mod, return_fig=True)


def _spelled(summary: pd.DataFrame) -> str:
    """Spell the summary out: a row per method, and below them how sure the model's correlation is."""
    from ..get._tables import predictions

    n, over = summary.attrs["n_perturbations"], summary.attrs["over"]
    rows = predictions(summary)
    shown = rows[[name for name in _COLUMNS if name in rows]].dropna(axis=1, how="all").dropna(how="all")
    table = shown.rename(columns=_COLUMNS).rename_axis(None)
    measured = summary.loc["measurement"]
    title = f"Mean over {n} {'reliable ' if over == 'reliable' else ''}perturbation{'s' if n != 1 else ''}"
    limits = (
        f"Pearson of the two halves of the measurement: {measured['ceiling']:.3f} (a perfect prediction reaches "
        f"{measured['ceiling_whole']:.3f}).\nChance of AUPRC: {measured['base_rate']:.3f}."
    )
    if n > 1:
        limits += f" Similarity of the measured effects: {measured['similarity']:.3f}."
    text = table.to_string(float_format="{:.3f}".format, na_rep="")
    reading = [_READING, _BEYOND] if "pearson_centred" in rows else [_READING]
    lines = [title, *(line.rstrip() for line in text.splitlines()), *_sureness(rows), limits, *reading]
    return "\n".join(lines)


def _sureness(rows: pd.DataFrame) -> list[str]:
    """Say how good the model is and how much better than the best of the others, with intervals."""
    model, others = rows.loc["model"], rows["pearson"].drop(["model", "oracle strength"], errors="ignore").dropna()
    if others.empty:
        return []
    best = others.idxmax()
    said = f"Pearson of the model: {_interval(model, 'pearson')};"
    return [f"{said} above {best}: {_interval(rows.loc[best], 'pearson_gain', sign='+')}."]


def _interval(row: pd.Series, name: str, sign: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{sign}.3f}" + (f" ({low:{sign}.3f} to {high:{sign}.3f})" if low == low else "")
