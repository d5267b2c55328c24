"""Perturbations that do the same kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import listed
from .._core.results import MODULES, read_entry, read_params, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    from mudata import MuData

_TABLES = {"modules": keys.TABLE, "markers": keys.MARKERS, "agreement": keys.AGREEMENT}


@verb
def modules(
    adata: AnnData | MuData,
    *,
    what: str = "modules",
    as_anndata: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame | AnnData:
    """Return the modules of :func:`dko.tl.perturbation_modules`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.perturbation_modules`.
    what
        ``"modules"`` (of each perturbation), their ``"markers"``, or, where groups were given, the ``"agreement"``.
    as_anndata
        Return perturbations as observations, for scanpy.
    %(results)s

    Returns
    -------
    A table. With `as_anndata`, perturbations x dimensions of the basis, with the table of modules in ``obs`` and
    ``obsm["X_umap"]``, and ``uns["markers"]`` and ``uns["agreement"]``.

    Raises
    ------
    KeyError
        There are no modules, or no groups to agree with.
    ValueError
        There is no such table.
    """
    target = unwrap(adata, mod)
    found = read_entry(target, MODULES, key)
    if what not in _TABLES:
        raise ValueError(f"what={what!r} must be one of {listed(_TABLES)}.")
    if what == "agreement" and keys.AGREEMENT not in found:
        raise KeyError("No agreement: dko.tl.perturbation_modules was given no groups to compare modules with.")
    if not as_anndata:
        return read_table(target, MODULES, key, _TABLES[what])
    table = read_table(target, MODULES, key)
    table.index = table["perturbation"].astype(str).to_list()
    table["module"] = pd.Categorical(table["module"], categories=_ordered(table["module"]))
    vectors = np.array(found[keys.VECTORS], dtype=np.float32)
    names = [f"{read_params(target, MODULES, key)['basis']}_{number}" for number in range(1, vectors.shape[1] + 1)]
    return AnnData(
        vectors,
        obs=table.drop(columns=["umap_1", "umap_2"]),
        var=pd.DataFrame(index=names),
        obsm={"X_umap": table[["umap_1", "umap_2"]].to_numpy(dtype=float)},
        uns={name: read_table(target, MODULES, key, name) for name in (keys.MARKERS, keys.AGREEMENT) if name in found},
    )


def _ordered(names: pd.Series) -> list[str]:
    """Return the names of modules, the largest first and those without effect last."""
    return sorted(names.astype(str).unique(), key=lambda name: (name == keys.NO_EFFECT, len(name), name))
