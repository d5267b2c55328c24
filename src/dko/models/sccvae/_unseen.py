"""Shifts of targets that no training cell has lost: from the shifts of similar targets."""

from __future__ import annotations

import torch


def neighbour_shifts(
    features: torch.Tensor, trained: torch.Tensor, shifts: torch.Tensor, *, own: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean of the shifts of training targets, weighted by how similar their features are.

    Parameters
    ----------
    features
        Of the targets that are asked for, n x features.
    trained, shifts
        Features (targets x features) and shifts (targets x latent) of the training targets.
    own
        Number of the training target that each row is, which is then left out.

    Returns
    -------
    n x latent. Where neighbours disagree the mean is short, and with features that tell nothing, it is that of all.

    Notes
    -----
    Weights are the softmax of the cosine of the features, in standard deviations of the cosines among training targets
    (the estimator of Nadaraya and Watson, 1964).
    """
    similarity = _cosine(features, trained)
    among = _cosine(trained, trained)[~torch.eye(len(trained), dtype=torch.bool, device=trained.device)]
    spread = among.std() if len(among) > 1 else among.new_zeros(())
    logits = similarity / spread if spread > _NOTHING else torch.zeros_like(similarity)
    if own is not None:
        logits[torch.arange(len(own), device=own.device), own] = -torch.inf
    return logits.softmax(dim=1) @ shifts


_NOTHING = 1e-6


def _cosine(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    unit = torch.nn.functional.normalize
    return unit(left, dim=1) @ unit(right, dim=1).T


def with_coexpression(shifts: torch.Tensor, directions: torch.Tensor, weight: float) -> torch.Tensor:
    """Add to each shift `weight` times its length in the direction of cells that express less of the target."""
    return shifts + weight * shifts.norm(dim=1, keepdim=True) * directions
