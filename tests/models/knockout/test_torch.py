"""Knockouts in torch, of any device, equal the compiled ones, which equal the naive formula."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import dko
from dko.models import knockout

from .oracle import make_cells

torch = pytest.importorskip("torch")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.mark.parametrize("kind", ["affine", "low rank", "factors"])
@pytest.mark.parametrize("budget", [1, 100_000])
@pytest.mark.parametrize("dose", [1.0, 0.4])
def test_torch_equals_the_compiled_loops(device, kind, budget, dose):
    from dko.models.knockout import torch as twin

    rng = np.random.default_rng(0)
    any_map, cells = make_cells(kind, 30, 25, 0.5, rng, 0.5)
    wanted, group = rng.random(25) < 0.7, np.arange(30) % 4 - 1
    row, number, removed = knockout.find(cells, np.array([[0, 1, 2], [3, 7, -1]]))
    before = knockout.all_cells(any_map, cells)
    after = [np.tile(before.profile, (2, 1)) for _ in range(2)]
    done: list[int] = []
    with dko.settings.override(memory_budget=budget):
        scans, sets, effects = (
            [partial(getattr(twin, name), device=device), getattr(knockout, name)]
            for name in ("scan", "knock_out", "effect_sums")
        )
        how = {"wanted": wanted, "dose": dose, "downstream": True}
        found = [scans[0](any_map, cells, advance=done.append, **how), scans[1](any_map, cells, **how)]
        np.testing.assert_allclose(*found, atol=2e-6)
        assert sum(done) == wanted[cells.indices].sum()
        impacts = [
            one(any_map, before, row, removed, dose=dose, after=to, number=number)
            for one, to in zip(sets, after, strict=True)
        ]
        np.testing.assert_allclose(*impacts, atol=2e-6)
        np.testing.assert_allclose(*(profile / profile.sum() for profile in after), atol=2e-6)
        sums = [one(any_map, cells, np.flatnonzero(wanted), group, 3) for one in effects]
        np.testing.assert_array_equal(sums[0][1], sums[1][1])
        np.testing.assert_allclose(sums[0][0], sums[1][0], rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
def test_verbs_on_a_gpu_give_what_they_give_on_a_cpu(fitted):
    pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = []
    for place in ("cuda", "cpu"):
        dko.tl.scan(fitted, device=place, progress=False)
        found.append(fitted.layers["dko_downstream"].toarray())
    np.testing.assert_allclose(*found, atol=2e-6)
