"""Training one model per group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core import keys
from ..._core.fitted import together
from ..._core.groups import group_values
from ..._core.messages import listed, logger, say
from ...metrics import bray_curtis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from anndata import AnnData
    from scipy import sparse

    from ...models._training import Schedule
    from ...models.assemblage import Fit
    from ...models.knockout import Map


def fit_groups(
    relative: sparse.csr_matrix,
    cells: dict[str, np.ndarray],
    split: np.ndarray,
    initial: dict[str, Map],
    schedule: Schedule,
    device: torch.device,
    rngs: list[np.random.Generator],
    **network: Any,
) -> dict[str, Fit]:
    """Fit the profiles of each group of `cells` (name: rows); fewer groups where the user stops it.

    `network` goes to the model.
    """
    from ...models import assemblage

    fits: dict[str, Fit] = {}
    for (group, rows), rng in zip(cells.items(), rngs, strict=True):
        try:
            fits[group] = assemblage.fit(
                relative[rows[split[rows] == keys.TRAIN]],
                relative[rows[split[rows] == keys.VALIDATION]],
                schedule,
                device=device,
                rng=rng,
                init=initial.get(group),
                **network,
                label=f"fit {group}".strip(),
            )
        except KeyboardInterrupt:
            # Before its first validation a model has no weights worth keeping; the models before it have.
            if not fits:
                raise
            break
        if fits[group].trained.interrupted:
            break
    if left := list(cells)[len(fits) :]:
        logger.warning("Stopped by the user before the groups %s were fitted; they get no model.", listed(left))
    losses = [fit.trained.history["validation_loss"].min() for fit in fits.values()]
    steps = sum(int(fit.trained.history["step"].max()) for fit in fits.values())
    say(f"Fitted {len(fits)} model(s) in {steps} steps on {device}: validation Bray-Curtis {np.mean(losses):.4f}.")
    return fits


def fit_error(
    relative: sparse.csr_matrix, adata: AnnData, groupby: str | None, fits: dict[str, Fit], device: torch.device
) -> np.ndarray:
    """Bray-Curtis dissimilarity of predicted and observed profile of every cell that has a model."""
    from ...models.knockout import engine

    values = None if groupby is None else group_values(adata, groupby).to_numpy()
    error = np.full(adata.n_obs, np.nan, dtype=np.float32)
    for group, fit in fits.items():
        rows = np.flatnonzero((values == group) if values is not None else np.ones(adata.n_obs, dtype=bool))
        observed = relative[rows]
        predicted = observed.copy()
        predicted.data[:] = 1.0
        predicted.data = engine(device).predict(fit.affine, predicted)
        error[rows] = bray_curtis(predicted, observed)
    return error


def history_of(fits: dict[str, Fit], groupby: str | None) -> pd.DataFrame:
    """Put the histories of all groups into one table."""
    parts = {group: fit.trained.history for group, fit in fits.items()}
    if groupby is None:
        return parts[""]
    return together(parts, keys.GROUP)
