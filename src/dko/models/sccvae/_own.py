"""What a perturbation does to the transcript of its own target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._cells import Cells


def own_changes(training: Cells, columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the change of the mean log-normalised expression of each gene when it is perturbed itself.

    Parameters
    ----------
    training
        Control and perturbed cells.
    columns
        Column of every gene that can be perturbed, -1 for genes that are not measured.
    targets
        Which of these genes each training target is.

    Returns
    -------
    One number per gene, float32. Of training targets what is measured; of other genes, where perturbations lower their
    targets, the median share of the mean that is lost (of targets that control cells express), and where they raise
    them, the median rise. NaN for genes that are not measured, and for all others where no target was perturbed alone.
    """
    means = training.means()
    control, changes = means[0], means[1:] - means[0]
    numbers = np.unique(training.perturbation[training.perturbation >= 0])
    alone = training.members[numbers].sum(axis=1) == 1
    of = targets[training.members[numbers][alone].argmax(axis=1)]
    measured = columns[of] >= 0
    of, change = of[measured], changes[alone][measured, columns[of[measured]]]
    own = np.full(len(columns), np.nan, dtype=np.float32)
    if not len(of):
        return own
    level = np.where(columns >= 0, control[columns], np.nan)
    if np.median(change) > 0:
        own[columns >= 0] = np.median(change)
    else:
        expressed = level[of] > 0
        share = change[expressed] / level[of[expressed]]
        own[:] = level * (np.median(share) if len(share) else 0.0)
    own[of] = change
    return own
