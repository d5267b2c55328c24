"""Which device arithmetic runs on."""

from __future__ import annotations

import torch

from .._settings import settings


def resolve_device(device: str = "auto") -> torch.device:
    """Return the torch device meant by a name; ``"auto"`` asks the settings, then takes CUDA, MPS or the CPU."""
    name = settings.device if device == "auto" else device
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise ValueError(
                f"device={name!r} is not known to torch; use 'auto', 'cpu', 'cuda' or 'cuda:1'."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
