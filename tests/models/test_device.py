from __future__ import annotations

import pytest
import torch

import dko
from dko.models._device import resolve_device


def test_auto_asks_the_settings():
    with dko.settings.override(device="cpu"):
        assert resolve_device("auto") == torch.device("cpu")
        assert resolve_device("cuda:1") == torch.device("cuda", 1)


def test_auto_takes_the_best_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device().type == expected


def test_unknown_device():
    with pytest.raises(ValueError, match="device='gpu'.*use 'auto', 'cpu', 'cuda'"):
        resolve_device("gpu")
