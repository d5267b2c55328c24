"""Two other tools that need nothing but unperturbed cells, run on the same ones."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd
from scipy import sparse

from .._environments import Unavailable, python_of
from .._runner import Failed, call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# Name in the tables -> environment, function of _contestants.py.
PEERS = {"scTenifoldKnk": "sctenifold", "GenKI": "genki"}


def peer_scores(peer: str, cells: AnnData, genes: Sequence[str]) -> pd.DataFrame | None:
    """Return how much each gene is affected by each knockout, knockouts x genes; 0 for genes that it leaves out.

    None, and a message, where the tool cannot be installed or fails.

    Parameters
    ----------
    peer
        One of PEERS.
    cells
        Unperturbed cells, no logarithms.
    genes
        Genes to knock out, each alone.
    """
    name = PEERS[peer]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        ad.AnnData(sparse.csr_matrix(cells.X), obs=cells.obs[[]], var=cells.var[[]]).write_h5ad(path)
        arguments = {"cells": str(path), "genes": list(genes)}
        try:
            outcome = call(f"accuracy._contestants:{name}", arguments, threads=1, python=python_of(name))
        except (Unavailable, Failed) as reason:
            print(f"Not measured: {peer}. {reason}", file=sys.stderr, flush=True)
            return None
    found = pd.DataFrame.from_dict(outcome["scores"], orient="index", columns=outcome["genes"])
    return found.reindex(index=list(genes), columns=cells.var_names).astype(float).fillna(0.0)
