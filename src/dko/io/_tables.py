"""Tables and figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._atomic import atomic

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure

# As pandas would choose by the ending, which the temporary file does not have.
_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


def write_table(table: pd.DataFrame, path: str | Path, **how: Any) -> None:
    """Write a table as CSV, compressed if `path` ends so; keywords are those of ``DataFrame.to_csv``."""
    with atomic(path) as temporary:
        table.to_csv(temporary, compression=_COMPRESSION.get(Path(path).suffix.lower()), **how)


def read_prior(path: Path) -> pd.DataFrame | AnnData:
    """Read a network, a CSV file with a column ``target``, or measured effects: CSV with names first, or h5ad."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.suffix == ".h5ad":
        from anndata import read_h5ad

        return read_h5ad(path)
    import pandas as pd

    table = pd.read_csv(path)
    return table if "target" in table else table.set_index(table.columns[0])


def write_figure(figure: Figure, path: str | Path) -> None:
    """Draw a figure in the format that `path` ends in."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower().removeprefix("."), dpi=150, bbox_inches="tight")
