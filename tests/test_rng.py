from __future__ import annotations

import numpy as np
import pytest

from dko._rng import generator, torch_seed


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), np.random.SeedSequence(7)])
def test_seeds(seed):
    assert generator(seed).random() == np.random.default_rng(seed).random()


def test_a_generator_is_taken_as_it_is():
    rng = np.random.default_rng(0)
    assert generator(rng) is rng


def test_seeds_of_torch_follow():
    assert torch_seed(generator(1)) == torch_seed(generator(1)) != torch_seed(generator(2))
    assert 0 <= torch_seed(generator(1)) < 2**63
