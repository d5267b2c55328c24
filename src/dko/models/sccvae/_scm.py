"""The linear structural causal model between latent dimensions."""

from __future__ import annotations

import torch


def propagation(influence: torch.Tensor) -> torch.Tensor:
    """Return the inverse of I - A for a strictly upper triangular A.

    Row vectors: causal variables are u = u A + z, hence u = z (I - A)^-1, where A[i, j] is the effect of i on j.

    Notes
    -----
    A is nilpotent, so that the inverse always exists and equals (I + A)(I + A^2)(I + A^4) ..., of which ceil(log2 d)
    factors are not I. Products run on every device, which triangular solves do not.
    """
    n = influence.shape[0]
    total = torch.eye(n, dtype=influence.dtype, device=influence.device) + influence
    power, reached = influence, 2
    while reached < n:
        power = power @ power
        total = total + total @ power
        reached *= 2
    return total
