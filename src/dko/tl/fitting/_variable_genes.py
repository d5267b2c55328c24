"""Which genes an SCCVAE predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.messages import say
from ...pp._select_genes import choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

# With more genes than this, the most variable ones are taken; a decoder takes many, but its time grows with them.
_LIMIT, _TAKEN = 6_000, 5_000


def genes_of_sccvae(
    values: sparse.csr_matrix,
    seen: np.ndarray,
    names: list[str],
    genes: str | Sequence[str] | None,
    n_top_genes: int | None,
    targets: list[str],
) -> list[str]:
    """Choose among `names`, the columns of log-normalised `values`; measured targets are always among the chosen.

    All that are named; of the others, told nothing, all that any cell that trains or validates (`seen`, a mask)
    expresses up to 6,000, or else the 5,000 most variable ones.
    """
    expressed = values.T @ seen.astype(np.float32) > 0
    chosen = set(targets) & set(names)
    if genes is None and n_top_genes is None and expressed.sum() <= _LIMIT:
        say(f"Genes: all {int(expressed.sum())} that are expressed, of {len(names)}.")
        return [name for name, there in zip(names, expressed, strict=True) if there or name in chosen]
    linear = values[np.flatnonzero(seen)]
    linear.data = np.expm1(linear.data)
    n_wanted = _TAKEN if genes is None and n_top_genes is None else n_top_genes
    chosen |= set(choose(linear, names, genes, n_wanted, everywhere=values))
    return [name for name in names if name in chosen]
