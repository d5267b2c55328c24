"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .._core import keys

if TYPE_CHECKING:
    from collections.abc import Container

    from anndata import AnnData


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the cells to read and the file to write."""
    parser.add_argument("input", metavar="IN", type=Path, help=f"{what}: .h5ad, .h5mu or .zarr")
    parser.add_argument(
        "--out", metavar="OUT", type=Path, required=True, help="file to write, of the same kind (.h5ad and .zarr are)"
    )
    add_force(parser, "replace OUT if it exists; then OUT may also be IN")


def add_force(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the option that allows to replace files."""
    parser.add_argument("--force", action="store_true", help=help)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add where in the file the fit and its results are."""
    parser.add_argument("--key", default=keys.DEFAULT, help="name of the fit in the file (default: %(default)s)")
    parser.add_argument("--mod", default="rna", help="modality with the genes, in .h5mu files (default: %(default)s)")


def add_general(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """Add what every command has."""
    if device:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no messages and no progress bars, results only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_rng(parser: argparse._ActionsContainer) -> None:
    """Add the seed, to a parser or to one of its groups."""
    parser.add_argument("--rng", type=int, default=0, metavar="SEED", help="seed of all random numbers (default: 0)")


def add_knockouts(parser: argparse.ArgumentParser) -> None:
    """Add what is to be knocked out, and how a dose is meant."""
    parser.add_argument("genes", metavar="GENE", nargs="+", help="gene, or genes removed together: CD74+FTL")
    parser.add_argument(
        "--mixture", action="store_true", help="the dose is the share of cells with a knockout; the others escape"
    )


def add_groups(parser: argparse.ArgumentParser) -> None:
    """Add the choice of cells."""
    parser.add_argument(
        "--groups",
        metavar="GROUP",
        nargs="+",
        help="only cells of these groups of the fit's --groupby, or, written COLUMN=GROUP, of any obs column",
    )


def names(text: str) -> list[str]:
    """Read ``A,B,C``, or ``@FILE`` with a name per line, into a list."""
    if not text.startswith("@"):
        found = [name.strip() for name in text.split(",")]
    else:
        path = Path(text[1:])
        if not path.is_file():
            raise argparse.ArgumentTypeError(f"there is no file {str(path)!r}")
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if not any(found):
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return [name for name in found if name]


def knockouts(words: list[str], known: Container[str]) -> list[str | tuple[str, ...]]:
    """Turn ``A+B`` into genes removed together, unless that is the name of a gene."""
    return [word if "+" not in word or word in known else tuple(word.split("+")) for word in words]


def groups(words: list[str] | None, adata: AnnData, groupby: str | None) -> list[str] | dict[str, list[str]] | None:
    """Turn the words of ``--groups`` into what the tools take: names, or names by column."""
    if words is None:
        return None
    pairs = [word.partition("=") for word in words]
    if groupby is not None and not any(equals and column in adata.obs for column, equals, _ in pairs):
        return words
    chosen: dict[str, list[str]] = {}
    for column, equals, name in pairs:
        if not equals:
            raise ValueError(f"--groups {column!r} names no column; write COLUMN={column}, with a column of obs.")
        chosen.setdefault(column, []).append(name)
    return chosen
