from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dko._core.messages import listed, require_genes, unknown

GENES = pd.Index(["Actb", "Gapdh", "HLA-A", "HLA-B", "CD8A"])
CELLS = AnnData(np.zeros((1, 5), dtype=np.float32), var=pd.DataFrame(index=GENES))


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, ""),
        (1, "'0'"),
        (3, "'0', '1', '2'"),
        (5, "'0', '1', '2', '3', '4'"),
        (7, "'0', '1', '2', '3', '4' and 2 more"),
    ],
)
def test_listed(n, expected):
    assert listed(range(n)) == expected


def test_nearest_names_whatever_their_case():
    assert unknown("gene", ["ACTB"], GENES, "var_names") == "No gene 'ACTB' in var_names. Did you mean 'Actb'?"
    assert unknown("gene", ["HLA-C"], GENES, "var_names").endswith("Did you mean 'HLA-B' or 'HLA-A'?")
    assert unknown("gene", ["xyz"], GENES, "var_names") == "No gene 'xyz' in var_names."


def test_unknown_genes_and_genes_left_out_are_told_apart():
    require_genes(["Actb"], ["Actb", "CD8A"], CELLS)
    with pytest.raises(KeyError, match="No gene 'CD8' in var_names. Did you mean 'CD8A'"):
        require_genes(["Gapdh", "CD8"], ["Actb"], CELLS)
    with pytest.raises(KeyError, match=r"The fit left out 'Gapdh', 'CD8A' \(it took 1 of 5 genes\)"):
        require_genes(["Gapdh", "Actb", "CD8A"], ["Actb"], CELLS)


def test_genes_that_only_raw_has_are_told_to_be_there():
    cells = CELLS.copy()
    cells.raw = cells.copy()
    cells = cells[:, :3].copy()
    with pytest.raises(KeyError, match="'CD8A': in adata.raw but not in var_names, which has 3 of its 5"):
        require_genes(["CD8A"], ["Actb"], cells)
