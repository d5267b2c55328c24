"""Seams between versions of anndata and scanpy."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from ._typing import AbstractContextManager, AnnData, Callable, Iterator, Path


def modalities_apart() -> AbstractContextManager[Any]:
    """Keep columns with their modality, as mudata 0.4 does: 0.3 also copies them to the top, or warns that it does."""
    import mudata

    return mudata.set_options(pull_on_update=False) if hasattr(mudata, "set_options") else nullcontext()


def layer_names(adata: AnnData) -> list[str]:
    """Names of the layers; anndata 0.13 lists X among them, as None."""
    return [name for name in adata.layers if name is not None]


def stored(*args: Any, **kwargs: Any) -> Any:
    """CSR in the class that scanpy's functions take on every supported version."""
    return sparse.csr_matrix(*args, **kwargs)


@dataclass(frozen=True)
class LazyRows:
    """Any rows of a matrix that anndata reads lazily, read as anndata reads its chunks."""

    make_chunk: Callable[..., Any]
    n_columns: int

    def __getitem__(self, rows: slice) -> Any:
        return self.make_chunk(block_info={None: {"array-location": [(rows.start, rows.stop), (0, self.n_columns)]}})


def lazy_rows(matrix: Any) -> LazyRows | None:
    """Return the rows of a matrix that anndata reads lazily; None of any other.

    Chunks of its dask array, 1,000 rows by default, need not be those of the file, each of which would be unpacked for
    every chunk that needs some of it.
    """
    layers = list(getattr(getattr(matrix, "dask", None), "layers", {}).values())
    # With more layers something is done to what is read; with more chunks of genes it lies in the file gene by gene.
    plain = len(layers) == 1 and len(matrix.chunks[1]) == 1
    for function, *_ in getattr(layers[0], "indices", ()) if plain else ():
        if isinstance(function, partial) and function.func.__name__ == "make_dask_chunk":
            return LazyRows(function, matrix.shape[1])
    return None


@contextmanager
def changed_zarr(path: Path) -> Iterator[Any]:
    """Open a zarr store to change it, and write anew the summary of its metadata, which anndata makes and reads."""
    import zarr

    # zarr 2 reads the summary only when asked to.
    options = {} if zarr.__version__.startswith("2.") else {"use_consolidated": False}
    yield zarr.open_group(path, mode="r+", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a format in which the summary is no standard yet
        zarr.consolidate_metadata(path)


def embedding(*args: Any, **kwargs: Any) -> Any:
    """Call scanpy's matplotlib embedding plot; scanpy 1.13 moves it to ``pl.legacy`` when its new plots are chosen."""
    import scanpy as sc

    with warnings.catch_warnings():
        # scanpy 1.11 calls it for every colour map, and matplotlib 3.11 will drop it.
        warnings.filterwarnings("ignore", "The set_bad function", PendingDeprecationWarning)
        return getattr(sc.pl, "legacy", sc.pl).embedding(*args, **kwargs)


Matrix: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix


def dense(matrix: Any) -> np.ndarray:
    """Return a dense float64 array."""
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)
