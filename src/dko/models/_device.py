"""Which device arithmetic runs on."""

from __future__ import annotations

import torch

from .._settings import settings


def resolve_device(device: str = "auto") -> torch.device:
    """Return the torch device meant by a name; ``"auto"`` asks the settings, then takes CUDA, MPS or the CPU."""
    name = settings.device if device == "auto" else device
    if name != "auto":
        try:
            # Making a tensor finds out whether the device is there, and not only whether its name is known.
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ValueError(f"device={name!r} cannot be used here ({reason}); use 'auto' or 'cpu'.") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
