"""Files of cells at both ends of a command, checked before any long work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _keys
from .._fitted import read_fitted

if TYPE_CHECKING:
    import argparse

    from anndata import AnnData
    from mudata import MuData

    from .._fitted import Fitted

# What there is for a fit of each kind.
_COMMANDS = {
    _keys.DKO: "`dko ko`, `dko dose`, `dko scan`, `dko rank`, `dko affected`, `dko interactions`, `dko modules`, "
    "`dko evaluate` and `dko report`",
    _keys.SCCVAE: "`dko ko`, `dko dose`, `dko modules`, `dko evaluate` and `dko report`",
}


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that could not be written in the end, or would replace what the user has not given up."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist; make it first.")
    if path.exists() and not force:
        raise FileExistsError(f"{str(path)!r} exists; add --force to replace it.")
    is_store = any((path / name).is_file() for name in (".zgroup", "zarr.json"))
    if path.is_dir() and not (path.suffix.lower() == ".zarr" and is_store):
        raise IsADirectoryError(f"{str(path)!r} is a folder of something else; choose another name.")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or that is not there and cannot be made."""
    if not folder.is_dir():
        if folder.exists() or not folder.parent.is_dir():
            raise NotADirectoryError(f"There is no folder {str(folder)!r}, and it cannot be made; choose another.")
        folder = folder.parent
    try:
        # Only trying tells.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(f"The folder {str(folder)!r} cannot be written to: {error.strerror}.") from error


def open_cells(args: argparse.Namespace) -> AnnData | MuData:
    """Check the output of a command and read its input."""
    from ..io._files import check_endings, read_any

    if not args.input.exists():
        raise FileNotFoundError(f"There is no file {str(args.input)!r}.")
    check_endings(args.input, args.out)
    check_output(args.out, args.force)
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
    from .._data import unwrap

    adata = unwrap(data, args.mod)
    try:
        return adata, read_fitted(adata, args.key)
    except KeyError as error:
        raise ValueError(
            f"{str(args.input)!r} holds no fit named {args.key!r}; run `dko fit {args.input} --out ...` first."
        ) from error


def save_cells(data: AnnData | MuData, args: argparse.Namespace) -> None:
    """Write the output of a command and name it."""
    from .._log import say
    from ..io._files import write_any

    write_any(data, args.out)
    say(f"Wrote {args.out}.")
