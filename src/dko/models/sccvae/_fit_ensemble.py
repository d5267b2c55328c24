"""Training several SCCVAEs on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.fitted import of_members
from ..._core.messages import logger
from ._ensemble import Ensemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    import numpy as np
    import pandas as pd

    from .._training import Trained
    from ._cells import Cells
    from ._model import Model

    class FitOne(Protocol):
        """:func:`fit`, given all but the cells and the chance."""

        def __call__(
            self, training: Cells, validation: Cells, *, rng: np.random.Generator, label: str
        ) -> tuple[Model, Trained]: ...


def fit_ensemble(
    fit_one: FitOne, parts: Sequence[tuple[Cells, Cells]], rng: np.random.Generator
) -> tuple[Ensemble, pd.DataFrame]:
    """Train a member on each pair of training and validation cells, with random numbers of its own.

    The first members of more are those of fewer.

    Returns
    -------
    The members that were trained to the end, or the first one as far as the user let it, and their histories, with a
    column ``member`` where there are several.
    """
    fits: list[tuple[Model, Trained]] = []
    n_members = len(parts)
    for number, (cells, own) in enumerate(zip(parts, rng.spawn(n_members), strict=True), start=1):
        try:
            found = fit_one(*cells, rng=own, label="fit" if n_members == 1 else f"fit {number}/{n_members}")
        except KeyboardInterrupt:
            # Before its first validation a member has no weights worth keeping; those before it have.
            if not fits:
                raise
            break
        if not found[1].interrupted or not fits:
            fits.append(found)
        if found[1].interrupted:
            break
    if len(fits) < n_members:
        what = "the first, as far as it came" if fits[0][1].interrupted else "those that were trained to the end"
        logger.warning("Stopped by the user: the model has %d of %d members: %s.", len(fits), n_members, what)
    histories = [trained.history for _, trained in fits]
    model = Ensemble(tuple(member for member, _ in fits))
    return model, histories[0] if n_members == 1 else of_members(histories)
