"""Knockouts in torch, of any device, equal the compiled ones, which equal the naive formula."""

from __future__ import annotations

from typing import Any

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
    of_torch, compiled = (np.tile(before.profile, (2, 1)) for _ in range(2))
    done: list[int] = []
    with dko.settings.override(memory_budget=budget):
        how: Any = {"wanted": wanted, "downstream": True}
        found = twin.scan(any_map, cells, device=device, advance=done.append, **how)
        np.testing.assert_allclose(found, knockout.scan(any_map, cells, **how), atol=2e-6)
        assert sum(done) == wanted[cells.indices].sum()
        how = {"dose": dose, "number": number}
        found = twin.knock_out(any_map, before, row, removed, device=device, after=of_torch, **how)
        expected = knockout.knock_out(any_map, before, row, removed, after=compiled, **how)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        np.testing.assert_allclose(of_torch / of_torch.sum(), compiled / compiled.sum(), atol=2e-6)
        genes = np.flatnonzero(wanted)
        sums, n_cells = twin.effect_sums(any_map, cells, genes, group, 3, device=device)
        expected, n_expected = knockout.effect_sums(any_map, cells, genes, group, 3)
        np.testing.assert_array_equal(n_cells, n_expected)
        np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
def test_verbs_on_a_gpu_give_what_they_give_on_a_cpu(fitted):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = []
    for place in ("cuda", "cpu"):
        dko.tl.scan(fitted, device=place, progress=False)
        found.append(fitted.layers["dko_downstream"].toarray())
    np.testing.assert_allclose(found[0], found[1], atol=2e-6)
