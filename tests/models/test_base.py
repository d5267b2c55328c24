"""What every model has by default, beside what faster ones say, and what files hold."""

from __future__ import annotations

import numpy as np
import pytest

import dko
from dko._core.checks import plain
from dko._core.knockouts import open_model
from dko.models import Model
from dko.models.sccvae.config import PRESETS, Config, config_of


@pytest.fixture(params=["fitted", "total"])
def opened(request):
    """Cells, as the model reads them, and the model."""
    if request.param == "total":
        adata = request.getfixturevalue("cells")
        dko.tl.fit(adata, max_epochs=2, effects="total", progress=False)
    else:
        adata = request.getfixturevalue("fitted")
    cells = open_model(adata, "dko", "rna", device="cpu")
    return cells.whole.values, cells.model


def test_scans_are_those_of_single_knockouts(opened):
    values, model = opened
    wanted = np.arange(20) % 3 > 0
    found, expected = model.scan(values, wanted), Model.scan(model, values, wanted)
    assert (np.isnan(found) == np.isnan(expected)).all() and np.isfinite(found).any()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(model.scan(values, wanted, downstream=False)[0], found[0])


def test_pairs_are_those_of_sets(opened):
    values, model = opened
    row = np.array([0, 0, 3, 7, 7])
    position = np.array([[0, 1], [2, 4], [1, 3], [0, 1], [0, 2]])
    np.testing.assert_allclose(
        model.pair_impacts(values, row, position), Model.pair_impacts(model, values, row, position), atol=1e-6
    )


def test_sums_of_effects_are_those_of_changes(opened):
    values, model = opened
    group, sets, noise = np.arange(80) % 3 - 1, [np.array([2]), np.array([5])], np.zeros((80, 0))
    found = model.effect_sums(values, sets, group, 2, noise)
    for one, expected in zip(found, Model.effect_sums(model, values, sets, group, 2, noise), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-3)


def test_impacts_are_those_of_before_and_after(opened):
    values, model = opened
    sets = [np.array([3]), np.array([4, 6])]
    for knockout in model.knock_out(values, sets, (0.0, 0.4, 1.0), np.zeros((80, 0)), profiles=True):
        by_default = model.with_impacts(knockout._replace(impact=None), sets[knockout.number])
        np.testing.assert_allclose(knockout.impact, by_default.impact, atol=1e-6)
        np.testing.assert_allclose(knockout.downstream, by_default.downstream, atol=1e-6)
        assert (knockout.dose > 0) == (knockout.impact.max() > 0)


@pytest.mark.parametrize("config", [Config(), config_of(vars(PRESETS["paper"][0]))], ids=["default", "paper"])
def test_a_configuration_comes_back_from_what_files_hold(config):
    """Lists, arrays and numpy scalars; what a later version has added keeps its default."""
    given = {name: value for name, value in vars(config).items() if value is not None}
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in listed.items()}
    arrays["dropout"], arrays["n_latent"] = np.float64(config.dropout), np.int64(config.n_latent)
    for stored in (given, listed, arrays):
        assert config_of(plain(stored)) == config
    assert config_of({"n_latent": 3, "a field of old": 1}) == Config(n_latent=3)
    with pytest.raises(ValueError, match="code='unit' is of version 0.1.0, and no longer read; fit again"):
        config_of({"code": "unit"})
