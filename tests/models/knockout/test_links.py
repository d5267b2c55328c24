from __future__ import annotations

import numpy as np
import pytest

from dko.models.assemblage._reference import LINKS as NAIVE
from dko.models.knockout._links import LINKS, apply_link, apply_link_torch, check_link

RAW = np.linspace(-60, 60, 241)


@pytest.mark.parametrize("link", LINKS)
def test_equals_the_formula(link):
    found = [apply_link(LINKS.index(link), raw) for raw in RAW]
    np.testing.assert_allclose(found, NAIVE[link](RAW), rtol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_the_same_in_torch(link):
    torch = pytest.importorskip("torch")
    found = apply_link_torch(link, torch.from_numpy(RAW))
    np.testing.assert_allclose(found, NAIVE[link](RAW), rtol=1e-12)


def test_unknown_link():
    assert check_link("exp") == "exp"
    with pytest.raises(ValueError, match="No link 'relu'; choose one of abs, softplus, exp."):
        check_link("relu")
