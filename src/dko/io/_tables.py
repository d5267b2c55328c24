"""Tables and figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._atomic import atomic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# As pandas would choose by the ending, which the temporary file does not have.
_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


def write_table(table: pd.DataFrame, path: str | Path, **how: Any) -> None:
    """Write a table as CSV, compressed if `path` ends so; keywords are those of ``DataFrame.to_csv``."""
    with atomic(path) as temporary:
        table.to_csv(temporary, compression=_COMPRESSION.get(Path(path).suffix.lower()), **how)


def write_figure(figure: Figure, path: str | Path) -> None:
    """Draw a figure in the format that `path` ends in."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower().removeprefix("."), dpi=150, bbox_inches="tight")
