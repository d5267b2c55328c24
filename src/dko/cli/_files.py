"""Files at both ends of a command, checked before any long work is done, and tables as text."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

from anndata import AnnData
from matplotlib.backend_bases import FigureCanvasBase
from mudata import MuData

from .._core.cells import unwrap
from .._core.fitted import Fitted, read_fitted
from .._core.results import Result
from .._core.tables import Table
from ..io._files import check_endings
from ..io._target import check_folder as check_target_folder
from ..io._target import check_target
from ..report import SECTIONS, Run

_WIDTH, _MOST_ROWS = 112, 40


def outputs(given: dict[str, Any]) -> dict[str, Path]:
    """Return what is to be written, by option; `out` is cells or, by its ending, the table.

    Refused are an input that is not there, and outputs that could not be written in the end or are one file.
    """
    source, out = given["input"], given["out"]
    check_input(source)
    files = {name: given[name] for name in ("out", "table", "impacts", "plot") if given.get(name) is not None}
    if out is not None and ending(out) in (".csv", ".tsv"):
        if "table" not in given or "table" in files:
            raise ValueError(f"--out {str(out)!r} is a table; name a file of cells, .h5ad, .h5mu or .zarr.")
        files["table"] = files.pop("out")
    if "out" in files:
        check_endings(source, out)
    if {"table", "impacts"} <= set(files):
        raise ValueError("--table needs the impacts in memory, which --impacts writes to a file; choose one.")
    kinds = FigureCanvasBase.get_supported_filetypes()
    if "plot" in files and files["plot"].suffix.lower().removeprefix(".") not in kinds:
        raise ValueError(f"--plot {str(files['plot'])!r} has to end in one of .{', .'.join(sorted(kinds))}.")
    named = {"IN": source, **{f"--{name}": path for name, path in files.items()}}
    for (one, path), (other, same) in combinations(named.items(), 2):
        if os.path.realpath(path) == os.path.realpath(same) and (one, other) != ("IN", "--out"):
            raise ValueError(f"{one} and {other} are one file, {str(same)!r}; they have to be different files.")
    for name, path in files.items():
        check_output(path, given["force"], store=name in ("out", "impacts") and path.suffix == ".zarr")
    return files


def ending(path: Path) -> str:
    """Return the ending of a name without that of its compression."""
    return Path(path.stem).suffix if path.suffix in (".gz", ".bz2", ".xz", ".zst") else path.suffix


def check_input(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")


def check_output(path: Path, force: bool, *, store: bool = False) -> None:
    """Refuse an output that could not be written in the end, or would replace what the user has not given up."""
    if check_target(path, store=store).exists() and not force:
        raise FileExistsError(f"{str(path)!r} exists; add --force to replace it.")


def check_folder(folder: Path, files: Iterable[str]) -> None:
    """Refuse a folder that cannot be made or written to, or in which one of these files could not be written."""
    # A path of which more than the last folder is missing is mistyped more often than meant.
    if not folder.parent.is_dir():
        raise NotADirectoryError(f"There is no folder {str(folder)!r}, and it cannot be made; choose another.")
    check_target_folder(folder, files)


def open_fit(data: AnnData | MuData, source: Path, key: str, mod: str) -> tuple[AnnData, Fitted]:
    """Return the cells of the modality and the fit that they have to hold."""
    adata = unwrap(data, mod)
    try:
        return adata, read_fitted(adata, key)
    except KeyError as error:
        remedy = f"run `dko fit {source} --out ...` first."
        raise ValueError(f"{str(source)!r} holds no fit named {key!r}; {remedy}") from error


def names(text: str) -> list[str]:
    """Read ``A,B,C``, or ``@FILE`` with a name per line, into a list."""
    path = Path(text[1:])
    if text.startswith("@") and not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}, which {text} names.")
    words = path.read_text(encoding="utf-8").splitlines() if text.startswith("@") else text.split(",")
    if not any(word.strip() for word in words):
        raise ValueError(f"{text!r} names nothing.")
    return [word.strip() for word in words if word.strip()]


def show(run: Run, *shown: Result) -> None:
    """Print sections of the report: what a result is, what it says here, and its tables with their notes."""
    for result, blocks_of in SECTIONS.values():
        if result not in shown or not run.has(result):
            continue
        blocks = list(blocks_of(run))
        tables = [block.brief for block in blocks if isinstance(block, Table)]
        said = [result.lead.replace("`", "")] * bool(tables) + [one for one in blocks if isinstance(one, str)]
        parts = [result.title, textwrap.fill(" ".join(said).strip(), _WIDTH)]
        for number, table in enumerate(tables):
            known = table.notes in [before.notes for before in tables[:number]]
            notes = "" if known else textwrap.fill(table.notes, _WIDTH, initial_indent="  ", subsequent_indent="  ")
            parts.append("\n".join(filter(None, [f"{table.caption}:", table.as_text(_MOST_ROWS), notes])))
        print("\n\n".join(parts), end="\n\n", flush=True)
