"""Reading the reference implementation's table of cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .._core.verb import verb


@verb
def read_reference(path: str | Path) -> AnnData:
    """Read a headerless table of genes x cells (CSV, also compressed), the input of the reference implementation.

    Parameters
    ----------
    path
        Such as ``Ptrain.csv`` or ``Ptrain.csv.gz``: a row per gene, a column per cell, expression on a linear scale.

    Returns
    -------
    AnnData, cells x genes, X CSR float32; genes and cells are named by their zero-based number in the table, which
    are the ``gene_id`` and ``cell_id`` of the reference's results.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a table of numbers, for example because it has a header.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        table = pd.read_csv(path, header=None).to_numpy(dtype=np.float32)
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a comma-separated table of numbers without a header (genes x cells): {error}"
        ) from error
    values = sparse.csr_matrix(table.T)
    return AnnData(
        values,
        obs=pd.DataFrame(index=pd.RangeIndex(values.shape[0]).astype(str)),
        var=pd.DataFrame(index=pd.RangeIndex(values.shape[1]).astype(str)),
    )
