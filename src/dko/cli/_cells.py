"""Files of cells at both ends of a command, checked before any long work is done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._core import keys
from .._core.fitted import read_fitted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from .._core.fitted import Fitted

# What there is for a fit of each kind.
_COMMANDS = {
    keys.DKO: "`dko ko`, `dko dose`, `dko scan`, `dko rank`, `dko affected`, `dko interactions`, `dko modules`, "
    "`dko evaluate` and `dko report`",
    keys.SCCVAE: "`dko ko`, `dko dose`, `dko modules`, `dko evaluate` and `dko report`",
}


def check_input(args: argparse.Namespace) -> None:
    """Refuse an input that is not there."""
    if not args.input.exists():
        raise FileNotFoundError(f"There is no file {str(args.input)!r}.")


def check_output(path: Path, force: bool, *, store: bool = False) -> None:
    """Refuse an output that could not be written in the end, or would replace what the user has not given up."""
    from ..io._target import check_target

    if check_target(path, store=store).exists() and not force:
        raise FileExistsError(f"{str(path)!r} exists; add --force to replace it.")


def check_beside(args: argparse.Namespace, *names: str) -> None:
    """Refuse files beside the cells that could not be written in the end, or that are another file of the command."""
    places = {"IN": args.input, "--out": args.out, **{f"--{name}": getattr(args, name) for name in names}}
    for name in names:
        path = getattr(args, name)
        if path is None:
            continue
        check_output(path, args.force, store=name == "impacts" and path.suffix == ".zarr")
        for other, place in places.items():
            if other != f"--{name}" and place is not None and os.path.realpath(place) == os.path.realpath(path):
                raise ValueError(f"{other} and --{name} are one file, {str(path)!r}; they have to be different files.")


def check_folder(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that cannot be made or written to, or in which one of these files could not be written."""
    from ..io._target import check_folder as check

    # A path of which more than the last folder is missing is mistyped more often than meant.
    if not folder.parent.is_dir():
        raise NotADirectoryError(f"There is no folder {str(folder)!r}, and it cannot be made; choose another.")
    check(folder, names)


def open_cells(args: argparse.Namespace) -> AnnData | MuData:
    """Check the output of a command and read its input."""
    from ..io._files import check_endings, ending, read_any

    check_input(args)
    check_endings(args.input, args.out)
    check_output(args.out, args.force, store=ending(args.out) == ".zarr")
    return read_any(args.input)


def open_fitted(args: argparse.Namespace, kind: str | None = None) -> tuple[AnnData | MuData, AnnData, Fitted]:
    """Check the output of a command and read its input, which has to hold a fit, of this kind if one is named."""
    data = open_cells(args)
    adata, fitted = find_fit(data, args)
    if kind not in {None, fitted.kind}:
        raise ValueError(
            f"The fit named {args.key!r} in {str(args.input)!r} is of --model {fitted.kind}, and this command needs "
            f"one of --model {kind}; for this one there are {_COMMANDS[fitted.kind]}."
        )
    return data, adata, fitted


def find_fit(data: AnnData | MuData, args: argparse.Namespace) -> tuple[AnnData, Fitted]:
    """Return the cells of the modality and the fit that they have to hold."""
    from .._core.cells import unwrap

    adata = unwrap(data, args.mod)
    try:
        return adata, read_fitted(adata, args.key)
    except KeyError as error:
        raise ValueError(
            f"{str(args.input)!r} holds no fit named {args.key!r}; run `dko fit {args.input} --out ...` first."
        ) from error


def save_cells(data: AnnData | MuData, args: argparse.Namespace) -> None:
    """Write the output of a command and name it."""
    from .._core.messages import say
    from ..io._files import write_any

    write_any(data, args.out)
    say(f"Wrote {args.out}.")
