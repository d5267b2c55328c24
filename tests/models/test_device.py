from __future__ import annotations

import pytest
import torch

import dko
from dko.models._device import resolve_device


def test_auto_asks_the_settings():
    with dko.settings.override(device="meta"):
        assert resolve_device("auto") == torch.device("meta")
        assert resolve_device("cpu") == torch.device("cpu")


def test_auto_takes_the_best_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device().type == expected


# No machine has a 99th card; one without any has no CUDA at all.
@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used here .*use 'auto' or 'cpu'"):
        resolve_device(name)
