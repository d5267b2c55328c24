"""Named knockouts with an SCCVAE: what control cells look like with a perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.knockouts import open_perturber, perturbed_sets
from ..._core.messages import progress_of
from ..._rng import seed_of
from ..._settings import settings

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..._compat import Matrix
    from ..._core.groups import Groups
    from ..._core.names import Knockouts
    from ..._rng import RNG


def perturb(
    data: AnnData | MuData,
    genes: Knockouts,
    *,
    dose: float,
    mixture: bool,
    groups: Groups,
    profiles: bool,
    key: str,
    mod: str,
    device: str,
    batch_size: int | None,
    rng: RNG,
) -> tuple[list[str], np.ndarray, list[Matrix]]:
    """Return labels, impacts and, if wanted, a layer for each knockout.

    The impacts are 2 x cells x knockouts, with the downstream impacts; NaN where there is none.
    """
    perturber = open_perturber(data, key, mod, groups=groups, device=device)
    sets, seed = perturbed_sets(genes, perturber), seed_of(rng)
    adata = perturber.adata
    if profiles and (size := 4 * adata.n_obs * adata.n_vars * len(sets)) > settings.result_budget:
        raise ValueError(
            f"The profiles of {len(sets)} knockouts would take {size / 2**30:.1f} GiB; pass profiles=False for their "
            "impacts alone, or fewer genes."
        )
    impacts = np.full((2, adata.n_obs, len(sets)), np.nan, dtype=np.float32)
    layers: list[Matrix] = [np.full(adata.shape, np.nan, dtype=np.float32) for _ in sets] if profiles else []
    with progress_of(len(sets) * len(perturber.rows), description="virtual_ko", unit="cell") as advance:
        for number, members in enumerate(sets.values()):
            others = ~np.isin(perturber.fitted.genes, members)
            for rows, before, after in perturber.pairs(members, dose, mixture=mixture, rng=seed, n_rows=batch_size):
                impacts[0, rows, number] = dissimilarity(before, after)
                impacts[1, rows, number] = dissimilarity(before[:, others], after[:, others])
                if profiles:
                    layers[number][np.ix_(rows, perturber.columns)] = after
                advance(len(rows))
    return list(sets), impacts, layers


def dissimilarity(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the Bray-Curtis dissimilarity of relative profiles, from log-normalised values, per cell."""
    shares = [np.expm1(values) for values in (before, after)]
    shares = [values / np.maximum(values.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny) for values in shares]
    return 0.5 * np.abs(shares[0] - shares[1]).sum(axis=1)
