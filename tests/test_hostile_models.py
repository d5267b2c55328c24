"""Models in ``uns`` that were damaged: refused in one sentence, or giving what they gave before."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import dko
from dko._core.fitted import read_fitted
from dko.io._files import read_any, write_any

SMALL: dict[str, Any] = {"max_steps": 2, "progress": False}
SCREEN = {"perturbation_key": "perturbation", "control": "control", "n_latent": 4, "hidden": (8,), "batch_size": 32}
FITS: dict[str, dict[str, Any]] = {
    "direct by group": {"effects": "direct", "groupby": "half"},
    "total": {"effects": "total"},
    "total by group": {"effects": "total", "groupby": "half"},
    "low rank": {"rank": 3},
    "screen": {"model": "sccvae", "n_members": 2, **SCREEN},
    "published screen": {"model": "sccvae", "preset": "paper", "code_hidden": (6,), **SCREEN},
}


@functools.cache
def originals():
    """Cells with a model of each kind."""
    cells = dko.datasets.grn(60, 12, density=0.4, share_present=(0.3, 0.9), depth=400, rng=1)
    cells.obs["half"] = ["a", "b"] * 30
    screen = dko.datasets.perturb_seq(4, 20, n_cells=20, n_controls=40, rng=1)
    return {
        name: dko.tl.fit(screen if "screen" in name else cells, copy=True, **SMALL, **how) for name, how in FITS.items()
    }


@functools.cache
def expected(name):
    return computed(originals()[name].copy(), name)


def computed(adata, name):
    """All that the model says of a few knockouts."""
    if "screen" in name:
        genes = list(originals()[name].uns["dko"]["targets"][:2])
        dko.tl.virtual_ko(adata, [*genes, tuple(genes)])
        return [adata.obsm["dko_impact"].to_numpy(), *(adata.layers[f"dko_ko_{gene}"] for gene in genes)]
    dko.tl.scan(adata, progress=False)
    dko.tl.virtual_ko(adata, adata.var_names[2])
    return [part.toarray() for part in (adata.layers["dko_impact"], adata.layers[f"dko_ko_{adata.var_names[2]}"])]


def array_changed(rng, model):
    weights = model["weights"]
    name = rng.choice(list(weights))
    weights[name] = of_another_form(rng, weights[name])


def of_another_form(rng, array):
    """An array of another shape, type or order, or with a number that is none; or no array."""
    match rng.integers(10):
        case 0:
            return array[..., : -rng.integers(1, 3)]
        case 1:
            return array[None]
        case 2:
            return array.reshape(-1)
        case 3:
            return np.concatenate([array, array], axis=rng.integers(array.ndim))
        case 4:
            return array.T
        case 5:
            return array[..., :0]
        case 6:
            found = array.astype(float)
            found.flat[rng.integers(found.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
            return found
        case 7:
            kinds = ("float16", "int32", "int64", "complex64", "object", "U9", "bool", "uint8")
            return array.astype(rng.choice(kinds))
        case 8:
            # The same numbers, stored in another way.
            return [np.asfortranarray(array), array[..., ::-1][..., ::-1], array.astype(array.dtype.newbyteorder())][
                rng.integers(3)
            ]
    return [None, "x", {}, [], 1.0, array.tolist()][rng.integers(6)]


def weights_changed(rng, model):
    """Arrays that are missing, not known, or those of another model."""
    weights = model["weights"]
    name, other = rng.choice(list(weights), size=2, replace=False)
    match rng.integers(5):
        case 0:
            del weights[name]
        case 1:
            weights[rng.choice(["more", "total_more", "network.more"])] = weights[name]
        case 2:
            weights[rng.choice(["more", name.upper()])] = weights.pop(name)
        case 3 if weights[name].shape != weights[other].shape:
            weights[name], weights[other] = weights[other], weights[name]
        case _:
            others = [originals()[of].uns["dko"]["weights"] for of in FITS]
            strange = others[rng.integers(len(others))]
            if strange.keys() != weights.keys():
                model["weights"] = dict(strange)


WRONG: tuple[Any, ...] = (
    None,
    {},
    [],
    [[1]],
    "",
    -1,
    0.5,
    10**30,
    np.nan,
    np.inf,
    b"x",
    (),
    object,
    np.ones(2),
    np.array("x"),
    {"a": {}},
)


def names_changed(rng, model):
    """Names that are repeated, missing, no text or no list."""
    entry = rng.choice([name for name in ("genes", "groups", "targets") if len(model.get(name, ()))])
    names: Any = list(model[entry])
    match rng.integers(5):
        case 0:
            names[0] = names[-1] if len(names) > 1 else 5
        case 1:
            names = names[:-1]
        case 2:
            names = [*names, "another"]
        case 3:
            names[rng.integers(len(names))] = WRONG[rng.integers(len(WRONG))]
        case _:
            names = WRONG[rng.integers(len(WRONG))]
    model[entry] = names


READ = (
    *("model", "effects", "rank", "groupby", "values", "use_raw", "layer", "log_base", "target_sum", "n_summed"),
    *("perturbation_key", "control", "features", "config", "n_members", "similarity"),
)


def params_changed(rng, model):
    """Parameters of another kind than they are, or missing."""
    params = model["params"]
    name = rng.choice([name for name in READ if name in params])
    if name == "config" and rng.integers(2):
        params = params["config"]
        name = rng.choice(["n_latent", "hidden", "code", "code_hidden", "dropout", "coexpression", "pairing", "groups"])
    if rng.integers(3):
        params[name] = WRONG[rng.integers(len(WRONG))]
    else:
        del params[name]


def parts_changed(rng, model):
    name = rng.choice([name for name in model if name not in ("history", "perturbations", "cells")])
    if rng.integers(2):
        del model[name]
    else:
        model[name] = WRONG[rng.integers(len(WRONG))]


def cells_changed(rng, model):
    if "cells" not in model:
        return array_changed(rng, model)
    name = rng.choice(["names", "group"])
    model["cells"][name] = of_another_form(rng, model["cells"][name])
    return None


MUTATIONS = (array_changed, array_changed, weights_changed, names_changed, params_changed, parts_changed, cells_changed)


def trial(number):
    """Compute with one damaged model; return why it was refused, or None where it gave what it gave before."""
    rng = np.random.default_rng(number)
    name = list(FITS)[number % len(FITS)]
    adata = originals()[name].copy()
    MUTATIONS[rng.integers(len(MUTATIONS))](rng, adata.uns["dko"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = computed(adata, name)
        except ValueError as error:
            message = str(error)
            assert type(error) is ValueError and "\n" not in message and len(message) < 600
            assert "adata.uns['dko'] is not as dko.tl.fit has left it: " in message or "groups of the fit" in message
            assert not [place for place in (*adata.obsm, *adata.layers) if "dko" in str(place)]
            return message
    for before, after in zip(expected(name), found, strict=True):
        np.testing.assert_array_equal(after, before)
    return None


@pytest.mark.parametrize("number", range(150))
def test_a_damaged_model_is_refused_or_gives_what_it_gave(number):
    trial(number)


@pytest.mark.slow
def test_fifteen_hundred_damaged_models():
    assert sum(trial(number) is not None for number in range(1_500)) > 1_200


@pytest.mark.slow
def test_compiled_code_reads_nothing_beyond_the_ends_of_its_arrays(tmp_path):
    """With every index checked, which is how it is compiled anew."""
    code = f"import runpy; trial = runpy.run_path({__file__!r})['trial']; [trial(number) for number in range(300)]"
    checked = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=checked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2_000:]


def test_weights_of_another_length_are_not_read_beyond_their_end(fitted):
    """Three equal scans gave 4.0, 0.0 and 2.0."""
    fitted.uns["dko"]["weights"]["intercept"] = fitted.uns["dko"]["weights"]["intercept"][:, :3]
    with pytest.raises(ValueError, match=r"'intercept' has the shape \(1, 3\), not \(1, 20\); run dko.tl.fit"):
        dko.tl.scan(fitted)


def test_total_effects_without_a_part_are_not_replaced_by_direct_ones():
    for part in ("total_influence", "signal"):
        adata = originals()["total"].copy()
        del adata.uns["dko"]["weights"][part]
        with pytest.raises(ValueError, match=f"its weights lack '{part}'"):
            dko.tl.scan(adata)
        del adata.uns["dko"]["params"]["effects"]
        with pytest.raises(ValueError, match="its weights hold .*, which such a model does not have"):
            dko.tl.scan(adata)


def test_a_model_that_was_damaged_can_be_fitted_again(fitted, quick):
    fitted.uns["dko"] = {**fitted.uns["dko"], "weights": None, "knockouts": "x"}
    fitted.uns["dko_identity"] = 5
    with pytest.raises(ValueError, match="it lacks 'weights'; run dko.tl.fit"):
        dko.get.history(fitted)
    dko.tl.fit(fitted, **quick)
    assert len(dko.get.history(fitted)) and "dko_identity" not in fitted.uns


@pytest.mark.parametrize(("name", "ending"), [*((name, "h5ad") for name in FITS), ("screen", "zarr")])
def test_files_keep_all_that_is_checked(name, ending, tmp_path):
    """Empty lists, None, numbers and names come back as other types."""
    adata = originals()[name].copy()
    adata.uns["dko"]["params"]["layer"] = None
    write_any(adata, tmp_path / f"cells.{ending}")
    before, after = read_fitted(adata, "dko"), read_fitted(read_any(tmp_path / f"cells.{ending}"), "dko")
    assert (after.params, after.genes, after.groups) == (before.params, before.genes, before.groups)
    for weights, array in before.weights.items():
        np.testing.assert_array_equal(after.weights[weights], array)
