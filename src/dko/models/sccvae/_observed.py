"""A predicted change, applied to cells as they were observed."""

from __future__ import annotations

import torch


def changed(cells: torch.Tensor, change: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Return observed cells with a predicted change; no value is below 0.

    Parameters
    ----------
    cells
        Log-normalised expression, cells x genes, none below 0.
    change
        Predicted change of each cell, n x cells x genes.
    level
        Mean expression of control cells, one value per gene.

    Returns
    -------
    n x cells x genes.

    Notes
    -----
    The change is applied in proportion: a cell that expresses twice the level changes by twice as much, and a cell
    without the gene not at all. So a change that is the same for all cells changes their mean by just as much, and
    zeros stay zeros, without any value being cut off. A gene loses at most all of its expression. A rise is applied in
    proportion up to the level; the rest is added to every cell, as otherwise a few cells would carry all of it.
    """
    share = torch.where(level > 0, change.clamp(-level, level) / level, 0.0)
    return (1 + share).mul_(cells).add_((change - level).clamp_(min=0))
