from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from dko.models.assemblage._reference import LINKS
from dko.models.knockout._lanes import _arrays, by_panel
from dko.models.knockout._vector import LANES, exp, softplus

# All that float32 can hold without losing digits, and zero among it.
RAW = np.linspace(-80, 80, 16_001)[: -(16_001 % LANES)].astype(np.float32)


def of_lanes(link):
    @intrinsic
    def apply(typing, raw, at, output):
        def generate(context, builder, signature, args):
            raw, at, output = _arrays(context, builder, signature, args)
            output.store(at, link(raw.vector(at)))
            return context.get_dummy_value()

        return types.void(raw, at, output), generate

    @njit
    def run(raw, output):
        for at in range(0, len(raw), 16):
            apply(raw, at, output)

    return run


@pytest.mark.parametrize(("name", "link"), [("exp", exp), ("softplus", softplus), ("abs", abs)])
def test_links_are_accurate_to_single_precision(name, link):
    found = np.empty_like(RAW)
    of_lanes(link)(RAW, found)
    # Half a digit of the last place, a few times over.
    np.testing.assert_allclose(found, LINKS[name](RAW.astype(float)), rtol=4e-7)


@pytest.mark.parametrize(("link", "ends"), [(exp, (0, 5e34)), (softplus, (0, 1e30))])
def test_links_stay_finite_far_outside(link, ends):
    raw, found = np.repeat(np.array([-1e30, 1e30], dtype=np.float32), LANES), np.empty(2 * LANES, dtype=np.float32)
    of_lanes(link)(raw, found)
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(ends[0], abs=1e-36)
    assert found[-1] >= ends[1]


def test_by_panel():
    panel_of = np.array([3, 1, 7, 1, 3, 2, 0], dtype=np.int32)
    assert by_panel(panel_of, 1, 3).tolist() == [1, 3, 5, 0, 4]
    assert by_panel(panel_of, 4, 3).tolist() == []
