"""Reading the reference implementation's table of cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.messages import say
from .._core.verb import verb
from ._files import write_table
from ._target import check_folder

if TYPE_CHECKING:
    from .._typing import Fitted, MuData


@verb
def read_reference(path: str | Path) -> AnnData:
    """Read a headerless table of genes x cells (CSV, also compressed), the input of the reference implementation.

    Parameters
    ----------
    path
        Such as ``Ptrain.csv`` or ``Ptrain.csv.gz``: a row per gene, a column per cell, expression on a linear scale.

    Returns
    -------
    AnnData, cells x genes, X CSR float32, named by zero-based numbers as ``gene_id`` and ``cell_id`` of the reference.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; not a table of numbers, for example because it has a header.

    Examples
    --------
    >>> table = pd.DataFrame([[3, 0, 1], [0, 2, 2]])  # 2 genes x 3 cells
    >>> table.to_csv("Ptrain.csv", header=False, index=False)
    >>> dko.io.read_reference("Ptrain.csv").shape
    (3, 2)
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


FILES = ("mapping_true.csv", "mapping_prediction.csv", "Impact_results.csv", "Impact_results_doubleKO.csv")


@verb
def write_reference(adata: AnnData | MuData, dir: str | Path, *, key: str = keys.DEFAULT, mod: str = "rna") -> None:
    """Write results as the tables of the reference implementation; those that have not been computed are left out.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`, and :func:`dko.tl.scan` or :func:`dko.tl.double_ko`.
    dir
        Folder to write to; made if need be. Tables of an earlier run are replaced.
    %(results)s

    Returns
    -------
    None. Writes, with genes and cells as zero-based numbers in the order of ``var_names`` and ``obs_names``

    ``mapping_true.csv``, ``mapping_prediction.csv``
        Observed and predicted profiles of the test cells (cells x genes, no header), after ``fit(test_fraction=...)``.
    ``Impact_results.csv``, ``Impact_results_doubleKO.csv``
        ``gene_id, cell_id, k_pred`` of a scan; ``gene1_id, gene2_id, cell_id, k_pred`` of double knockouts.

    Raises
    ------
    OSError, ValueError
        The folder cannot be made or written to, or something that is no file has the name of a table; nothing to write.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.io.write_reference(adata, "tables")
    >>> pd.read_csv("tables/Impact_results.csv").columns.tolist()
    ['gene_id', 'cell_id', 'k_pred']
    """
    check_folder(dir, FILES)
    target = unwrap(adata, mod)
    tables = _tables(target, read_fitted(target, key))
    if not tables:
        raise ValueError(
            f"Key {key!r} has no test cells, no scan and no double knockouts to write; run dko.tl.scan(adata) first."
        )
    folder = Path(dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, folder / name, index=False, header=not name.startswith("mapping"))
    say(f"Wrote {', '.join(tables)} to {folder}.")


def _tables(adata: AnnData, fitted: Fitted) -> dict[str, pd.DataFrame]:
    """Return the tables of what has been computed, by the name of the file."""
    key, tables = fitted.key, {}
    split = adata.obs.get(keys.split(key))
    if split is not None and (split == keys.TEST).any():
        cells = get.profiles(adata, split=keys.TEST, key=key)
        columns = adata.var_names.get_indexer(cells.var_names)
        for name, values in (("mapping_true.csv", cells.X), ("mapping_prediction.csv", cells.layers["predicted"])):
            # A column per gene of the table, also for those that are not part of the model.
            whole = np.zeros((cells.n_obs, adata.n_vars), dtype=np.float32)
            whole[:, columns] = values.toarray()
            tables[name] = pd.DataFrame(whole)
    if keys.impact(key) in adata.layers:
        table = get.impact_table(adata, key=key)
        numbers = {name: table[name].cat.codes for name in ("gene_id", "cell_id")}
        tables["Impact_results.csv"] = pd.DataFrame({**numbers, "k_pred": table["impact"]})
    if keys.PAIRS in fitted.tables:
        table = fitted.table(keys.PAIRS)
        genes = np.sort([adata.var_names.get_indexer(table[column]) for column in ("gene_a", "gene_b")], axis=0)
        cell = adata.obs_names.get_indexer(table["cell"])
        numbers = {"gene1_id": genes[0], "gene2_id": genes[1], "cell_id": cell, "k_pred": table["impact"]}
        tables["Impact_results_doubleKO.csv"] = pd.DataFrame(numbers)
    return tables
