"""Files at both ends of a command, checked before any long work is done, and tables as text."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from anndata import AnnData
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from .._core.cells import unwrap
from .._core.fitted import Fitted, read_fitted
from .._core.messages import say
from .._core.results import Result
from .._core.tables import Table
from ..io._files import check_endings, write_any, write_figure, write_table
from ..io._target import check_folder as check_target_folder
from ..io._target import check_target
from ..report import SECTIONS, Run

if TYPE_CHECKING:
    from mudata import MuData

_WIDTH, _MOST_ROWS = 112, 40
_TABLES, _COMPRESSED = (".csv", ".tsv"), (".gz", ".bz2", ".xz", ".zst")


class Outputs(NamedTuple):
    """The files of a command: what it reads, and what it writes; `out` is cells or, by its ending, a table."""

    source: Path
    out: Path | None
    also: Path | None
    impacts: Path | None
    plot: Path | None

    @property
    def cells(self) -> Path | None:
        """Where the cells go."""
        return self.out if self.out is None or _ending(self.out) not in _TABLES else None

    @property
    def table(self) -> Path | None:
        """Where the table goes."""
        return self.also if self.out == self.cells else self.out

    def check(self, *, force: bool, has_table: bool) -> None:
        """Refuse an input that is not there, and outputs that could not be written in the end or are one file."""
        check_input(self.source)
        if self.out != self.cells and (self.also is not None or not has_table):
            raise ValueError(f"--out {str(self.out)!r} is a table; name a file of cells, .h5ad, .h5mu or .zarr.")
        if None not in (self.impacts, self.table):
            raise ValueError("--table needs the impacts in memory, which --impacts writes to a file; choose one.")
        if self.cells is not None:
            check_endings(self.source, self.cells)
        kinds = FigureCanvasBase.get_supported_filetypes()
        if self.plot is not None and self.plot.suffix.lower().removeprefix(".") not in kinds:
            raise ValueError(f"--plot {str(self.plot)!r} has to end in one of .{', .'.join(sorted(kinds))}.")
        places = zip(("IN", "--out", "--table", "--impacts", "--plot"), self, strict=True)
        named = {name: path for name, path in places if path is not None}
        for one, other in combinations(named, 2):
            same = os.path.realpath(named[one]) == os.path.realpath(named[other])
            if same and not (one == "IN" and named[other] == self.cells):
                path = str(named[other])
                raise ValueError(f"{one} and {other} are one file, {path!r}; they have to be different files.")
        for name in [name for name in named if name != "IN"]:
            check_output(named[name], force, store=name in ("--out", "--impacts") and named[name].suffix == ".zarr")

    def write_cells(self, data: AnnData | MuData, then: str) -> None:
        """Write the cells, first of all: whatever becomes of the tables, the results are kept."""
        if self.cells is not None:
            write_any(data, self.cells)
            say(f"Wrote {self.cells}. Next: {then.format(out=self.cells)}")

    def write_table(self, table: pd.DataFrame) -> None:
        """Write the whole table."""
        if self.table is not None:
            named = any(name is not None for name in table.index.names)
            write_table(table, self.table, index=named, sep="\t" if _ending(self.table) == ".tsv" else ",")
            say(f"Wrote {self.table}.")

    def write_figure(self, figure: Figure | None) -> None:
        """Write what was drawn."""
        if self.plot is not None and figure is not None:
            write_figure(figure, self.plot)
            say(f"Wrote {self.plot}.")


def _ending(path: Path) -> str:
    """Return the ending of a name without that of its compression."""
    return Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix


def check_input(path: Path) -> None:
    """Refuse an input that is not there."""
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
