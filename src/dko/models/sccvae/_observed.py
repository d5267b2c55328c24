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
    A change is that of a cell with the mean `level`; a cell that expresses twice as much changes by twice as much, and
    a cell without the gene not at all. So means change by what is predicted, and zeros stay zeros, without any value
    being cut off. A gene loses at most all of its expression. Of a rise above its level, beyond which a few cells
    would have to carry it all, the rest is added to every cell.
    """
    share = torch.where(level > 0, change.clamp(-level, level) / level, 0.0)
    return (1 + share).mul_(cells).add_((change - level).clamp_(min=0))
