"""Terms of the loss: divergence from the prior, maximum mean discrepancy, distance of predicted from measured cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

# Multiples of the median squared distance that serve as squared bandwidths.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


def gaussian_kl(mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Return the divergence of N(mean, variance) from N(0, 1), averaged over the last axis."""
    return 0.5 * (mean**2 + variance - 1 - variance.log()).mean(dim=-1)


def squared_distances(cells: torch.Tensor) -> torch.Tensor:
    """Return squared distances between the rows of each group: groups x cells x genes -> groups x cells x cells.

    By the Gram matrix: nothing of cells x cells x genes is made.
    """
    centred = cells - cells.mean(dim=(0, 1))
    gram = centred @ centred.transpose(-1, -2)
    square = gram.diagonal(dim1=-2, dim2=-1)
    return (square[..., :, None] + square[..., None, :] - 2 * gram).clamp_min(0)


def grouped_mmd(predicted: torch.Tensor, measured: torch.Tensor, bandwidths: torch.Tensor) -> torch.Tensor:
    """Return the squared maximum mean discrepancy of two sets of cells in each group.

    Parameters
    ----------
    predicted, measured
        Groups x cells x genes; as many cells of both.
    bandwidths
        Squared bandwidths h of the Gaussian kernels exp(-d^2 / h) that are added up.

    Returns
    -------
    One number per group: the biased estimate, with its diagonals, which do not depend on the prediction.
    """
    n = predicted.shape[1]
    distance = squared_distances(torch.cat([predicted, measured], dim=1))
    kernel = torch.zeros_like(distance)
    for bandwidth in bandwidths:
        kernel = kernel + torch.exp(-distance / bandwidth)
    within = kernel[:, :n, :n].mean(dim=(1, 2)) + kernel[:, n:, n:].mean(dim=(1, 2))
    return within - 2 * kernel[:, :n, n:].mean(dim=(1, 2))


def median_bandwidths(cells: torch.Tensor, factors: Sequence[float] = _FACTORS) -> torch.Tensor:
    """Return multiples of the median squared distance between cells (cells x genes), as squared bandwidths."""
    distance = squared_distances(cells[None])[0]
    above = torch.triu_indices(len(cells), len(cells), offset=1, device=cells.device)
    median = distance[above[0], above[1]].median().clamp_min(torch.finfo(cells.dtype).tiny)
    return median * torch.tensor(factors, dtype=cells.dtype, device=cells.device)


def effect_distance(
    before: torch.Tensor, after: torch.Tensor, effect: torch.Tensor, counted: torch.Tensor
) -> torch.Tensor:
    """Return the squared distance of the mean change of each group from the measured effect, averaged over genes.

    Parameters
    ----------
    before, after
        The same cells, decoded without and with the shift: groups x cells x genes.
    effect
        Difference of the means of all measured cells: groups x genes.
    counted
        Which genes count, ones and zeros: groups x genes.

    Notes
    -----
    As both sides are free of the chance by which cells were drawn, a few cells are enough; and unlike the distance of
    pairs of cells, it does not punish predicted cells for differing from each other.
    """
    return (counted * ((after - before).mean(dim=1) - effect)).square().mean(dim=-1)


def pair_distance(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of each predicted cell from one measured cell."""
    return (predicted - measured).square().mean(dim=(1, 2))
