"""Bray-Curtis dissimilarity: the loss of a fit and the impact of a knockout are the same number."""

from __future__ import annotations

import torch


def bray_curtis(a: torch.Tensor, b: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return sum |a - b| / sum (a + b) along `dim`; 0 where both are empty.

    For profiles that sum to 1 this is half the L1 distance (Bray and Curtis 1957; arXiv 2510.03359, loss and impact).
    """
    tiny = torch.finfo(a.dtype).tiny
    return (a - b).abs().sum(dim) / (a + b).sum(dim).clamp_min(tiny)


def profile_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return half the L1 distance along the last axis: Bray-Curtis of profiles that sum to 1, in fewer steps."""
    return (a - b).abs().sum(-1) / 2
