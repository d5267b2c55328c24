"""Models that are damaged or made to harm, in files and in ``uns``: refused in one sentence, or read as they were."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import dko

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
def originals() -> dict[str, ad.AnnData]:
    """Cells with a model of each kind."""
    cells = dko.datasets.grn(60, 12, density=0.4, share_present=(0.3, 0.9), depth=400, rng=1)
    cells.obs["half"] = ["a", "b"] * 30
    screen = dko.datasets.perturb_seq(4, 20, n_cells=20, n_controls=40, rng=1)
    fits: Any = dko.tl.fit
    return {name: fits(screen if "screen" in name else cells, copy=True, **SMALL, **how) for name, how in FITS.items()}


@functools.cache
def files() -> dict[str, bytes]:
    """A file of each as it is written now, and as version 0.1.0 did, compressed and without a digest."""
    found = {}
    for name, adata in originals().items():
        with tempfile.TemporaryDirectory() as folder:
            dko.io.save(adata, Path(folder) / "model.npz")
            found[name] = (Path(folder) / "model.npz").read_bytes()
        text, arrays = opened(found[name])
        del text["digest"]
        found[f"{name}, 0.1.0"] = packed(text, arrays, np.savez_compressed)
    return found


def opened(file):
    with np.load(io.BytesIO(file)) as arrays:
        return json.loads(str(arrays["text"])), {name: arrays[name] for name in arrays.files if name != "text"}


def packed(text, arrays, write=np.savez):
    buffer = io.BytesIO()
    write(buffer, text=text if isinstance(text, np.ndarray) else json.dumps(text), **arrays)
    return buffer.getvalue()


def zipped(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def members_of(file):
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


WRONG: tuple[Any, ...] = (
    *(None, {}, [], [[1]], "", "x", -1, 0, 1.5, 10**30, True, {"a": {"b": []}}, ["a", "a"]),
    *(float("nan"), float("inf")),
)


def entry_changed(rng, place, leave=()):
    """Replace an entry of nested dictionaries and lists, at any depth, by one of another kind, or take it out."""
    while True:
        keys = range(len(place)) if isinstance(place, list) else [key for key in place if key not in leave]
        key = keys[rng.integers(len(keys))]
        inside = place[key]
        if not (isinstance(inside, dict | list) and inside and rng.random() < 0.8):
            break
        place = inside
    if rng.random() < 0.3:
        del place[key]
    else:
        others = [value for value in WRONG if type(value) is not type(inside)]
        place[key] = others[rng.integers(len(others))]


def of_another_form(rng, array):
    """An array of another shape, type or order, or with a number that is none."""
    kinds = ("float64", "float16", "int32", "int64", "complex64", "object", "U9", "bool", ">f4", "uint8")
    with_wrong = array.astype(float)
    if array.size:
        with_wrong.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
    forms = [
        *(array[..., :-1], array[None], array.reshape(-1), array.T, array[..., :0], with_wrong),
        *(np.concatenate([array, array], axis=rng.integers(array.ndim)), np.asfortranarray(array)),
        array.astype(rng.choice(kinds)),
    ]
    return forms[rng.integers(len(forms))]


# Files


def bytes_changed(rng, file):
    found = bytearray(file)
    for at in rng.integers(len(file), size=rng.integers(1, 9)):
        found[at] = rng.integers(256)
    return bytes(found)


def part_of(rng, file):
    """Cut off, with a part cut out, or with a part twice."""
    start, stop = sorted(rng.integers(len(file), size=2))
    return [file[:stop], file[:start] + file[stop:], file[:stop] + file[start:]][rng.integers(3)]


def end_of_the_archive(rng, file):
    """What the directory says of the members: flags, methods, sizes, sums, offsets."""
    found = bytearray(file)
    start = file.rfind(b"PK\1\2", 0, rng.integers(file.find(b"PK\1\2") + 4, len(file)))
    found[start + rng.integers(4, 46)] = rng.integers(256)
    return bytes(found)


def header_of_an_array(rng, file):
    """What an array says of itself, with a right sum of all bytes."""
    members = members_of(file)
    name = rng.choice(list(members))
    content = members[name]
    end = content.index(b"\n") + 1
    new = [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (), }",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (12,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 12), }",
        b"__import__('os').abort()",
        b"(" * 300,
        bytes_changed(rng, content[10:end]),
    ][rng.integers(7)]
    members[name] = content[:10] + bytes(new)[: end - 11].ljust(end - 11) + b"\n" + content[end:]
    return zipped(members.items())


def members_changed(rng, file):
    members = list(members_of(file).items())
    one, other = rng.choice(len(members), size=2, replace=False)
    kind = rng.integers(6)
    if kind == 1 and members[one][1][:128] == members[other][1][:128] and "digest" not in opened(file)[0]:
        kind = 3  # nothing in a file of old tells one array from another of the same form
    if kind == 0:
        members.append(members[one])
    elif kind == 1:
        members[one] = (members[one][0], members[other][1])
    elif kind == 2:
        members[one] = (rng.choice(["other.npy", "../other.npy", members[one][0][:-4], "/etc/x.npy"]), members[one][1])
    elif kind == 3:
        del members[one]
    elif kind == 4:
        members.append((rng.choice(["more.npy", "more.txt", "a/b.npy"]), members[other][1]))
    return zipped(members, zipfile.ZIP_BZIP2 if kind == 5 else zipfile.ZIP_STORED)


def content_changed(rng, file):
    text, arrays = opened(file)
    if rng.random() < 0.5:
        entry_changed(rng, text)
    else:
        name = rng.choice([name for name in arrays if name != "variation" or "digest" in text])
        arrays[name] = of_another_form(rng, arrays[name])
    return packed(text, arrays)


def text_of_another_kind(rng, file):
    texts: list[Any] = ["", "{}", "[1]", "no", "[" * 100_000, '{"format": "dko-model-1"}', '{"format": 1, "format": 1}']
    texts = [*map(np.array, texts), np.array(["a", "b"]), np.array({}, dtype=object), np.ones(3)]
    return packed(texts[rng.integers(len(texts))], opened(file)[1])


OF_FILES = (
    *(bytes_changed, part_of, part_of, end_of_the_archive, header_of_an_array, members_changed),
    *(content_changed, content_changed, content_changed, content_changed, text_of_another_kind),
)
# Parameters that decide what is computed; a rank is that of the weights, which need not name it.
READ = (
    *("model", "effects", "groupby", "values", "use_raw", "layer", "log_base", "target_sum"),
    *("perturbation_key", "control", "features", "config"),
)


def loaded(name, content):
    """The model of a file, in cells that have its genes."""
    adata = originals()[name.removesuffix(", 0.1.0")].copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        path.write_bytes(content)
        dko.io.load(adata, path, key_added="loaded")
    return adata.uns["loaded"]


def outcome(call, *args):
    """What a call returns, and the one sentence in which it refuses to; no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call(*args), None
        except ValueError as error:
            assert type(error) is ValueError and "\n" not in str(error) and len(str(error)) < 600
            return None, str(error)


def file_trial(number):
    """Read one damaged file; return why it was refused, or None where it was read as what was written."""
    rng = np.random.default_rng(number)
    name = list(files())[number % len(files())]
    damaged = OF_FILES[rng.integers(len(OF_FILES))](rng, files()[name])
    found, message = outcome(loaded, name, damaged)
    if message:
        assert "model.npz' is not a model that dko.io.save wrote: " in message and message.endswith(".")
        return message
    expected = loaded(name, files()[name])
    assert [list(found[part]) for part in ("genes", "groups")] == [list(expected[part]) for part in ("genes", "groups")]
    assert not [name for name in READ if found["params"].get(name) != expected["params"].get(name)]
    assert found["weights"].keys() == expected["weights"].keys()
    for name, array in expected["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], array, strict=True)
    return None


@pytest.mark.parametrize("number", range(120))
def test_a_damaged_file_is_refused_or_read_as_it_was(number):
    file_trial(number)


def test_files_that_are_whole_are_read():
    for name, file in files().items():
        kind = "total" if name.startswith("total") else "direct"
        assert loaded(name, file)["params"].get("effects", "direct") == kind


def test_a_fit_that_starts_from_a_damaged_file(tmp_path, cells, unchanged):
    (tmp_path / "model.npz").write_bytes(files()["total"][:-100])
    message = r"^'.*model.npz' is not a model that dko.io.save wrote: .*\.$"
    with unchanged(cells), pytest.raises(ValueError, match=message):
        dko.tl.fit(cells, init_from=tmp_path / "model.npz", **SMALL)


def zeros(**of_text):
    text, arrays = opened(files()["total"])
    many = np.zeros((1, 6_000, 6_000), dtype=np.float32)
    return packed({**text, **of_text}, {**arrays, "influence": many}, np.savez_compressed)


def long_text(part, size=9_900_000):
    content = '{"format": "dko-model-1", "genes": [' + part * (size // len(part))
    return packed(np.array(content), opened(files()["total"])[1], np.savez_compressed)


# Files that ask for far more memory than they are large.
BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros": zeros,
    "zeros of many genes": lambda: zeros(genes=[f"gene_{number}" for number in range(6_000)]),
    "names": lambda: long_text('"ab",'),
    "text": lambda: long_text("[],", 40_000_000),
    **{part: functools.partial(long_text, part) for part in ("[],", '{"a":1},', "1e1,", '{"a":[]},')},
    "directory": lambda: zipped([(f"{number}.npy", b"") for number in range(60_000)]),
}


def peak_of(call):
    """Return the most memory that something took at a time, in MiB."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "zeros")) for name in BOMBS])
def test_files_that_ask_for_memory_do_not_get_it(name):
    bomb = BOMBS[name]()

    def refused():
        with pytest.raises(ValueError, match="is not a model that dko.io.save wrote: "):
            loaded("total", bomb)

    assert peak_of(refused) < 200


def test_a_long_text_is_read_again(tmp_path, monkeypatch):
    """As of many groups, each validated after every step: more text than arrays."""
    monkeypatch.setattr("dko.io._model_file._LONGEST", 100)
    dko.io.save(originals()["low rank"], tmp_path / "model.npz")
    file = (tmp_path / "model.npz").read_bytes()
    text, arrays = opened(file)
    assert list(loaded("low rank", file)["genes"]) == text["genes"]
    with pytest.raises(ValueError, match="is not a model"):
        loaded("low rank", packed(text, arrays, np.savez_compressed))


def test_a_large_file_takes_little_more_memory_than_it_is_large(tmp_path):
    text, arrays = opened(files()["total"])
    n = 2_000
    text["genes"] = [f"gene_{number}" for number in range(n)]
    del text["digest"]
    rng = np.random.default_rng(0)
    large = {
        name: rng.random([n if size == 12 else size for size in array.shape], dtype=np.float32).astype(array.dtype)
        for name, array in arrays.items()
    }
    large["total_influence"][:, range(n), range(n)] = 0
    (tmp_path / "model.npz").write_bytes(packed(text, large))
    adata = ad.AnnData(sparse.eye_array(5, n, dtype=np.float32, format="csr"))
    adata.var_names = text["genes"]
    size = (tmp_path / "model.npz").stat().st_size / 2**20
    assert peak_of(lambda: dko.io.load(adata, tmp_path / "model.npz")) < 1.5 * size


@pytest.mark.slow
def test_six_thousand_damaged_files():
    files()
    counts: list[bool] = []
    assert peak_of(lambda: counts.extend(file_trial(number) is not None for number in range(6_000))) < 200
    assert sum(counts) > 5_000


# Models in uns


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
    place = model["cells"] if "cells" in model and rng.random() < 0.2 else model["weights"]
    name = rng.choice(list(place))
    others: list[Any] = [of_another_form(rng, place[name])] * 7 + [None, "x", {}, place[name].tolist()]
    place[name] = others[rng.integers(len(others))]


def weights_changed(rng, model):
    """Arrays that are missing, not known, or those of another model."""
    weights = model["weights"]
    name, other = rng.choice(list(weights), size=2, replace=False)
    strange = originals()[list(FITS)[rng.integers(len(FITS))]].uns["dko"]["weights"]
    match rng.integers(4):
        case 0:
            del weights[name]
        case 1:
            weights[rng.choice(["more", "total_more", name.upper()])] = weights[name]
        case 2 if weights[name].shape != weights[other].shape:
            weights[name], weights[other] = weights[other], weights[name]
        case _ if strange.keys() != weights.keys():
            model["weights"] = dict(strange)


def model_changed(rng, model):
    """Anything that is not an array or a table."""
    entry_changed(rng, model, leave=("history", "perturbations", "cells", "weights", "version", "rng"))


def model_trial(number):
    """Compute with one damaged model; return why it was refused, or None where it gave what it gave before."""
    rng = np.random.default_rng(number)
    name = list(FITS)[number % len(FITS)]
    adata = originals()[name].copy()
    (array_changed, weights_changed, model_changed, model_changed)[rng.integers(4)](rng, adata.uns["dko"])
    found, message = outcome(computed, adata, name)
    if message:
        assert "adata.uns['dko'] is not as dko.tl.fit has left it: " in message or "groups of the fit" in message
        assert not [place for place in (*adata.obsm, *adata.layers) if "dko" in str(place)]
        return message
    for before, after in zip(expected(name), found, strict=True):
        np.testing.assert_array_equal(after, before)
    return None


@pytest.mark.parametrize("number", range(120))
def test_a_damaged_model_is_refused_or_gives_what_it_gave(number):
    model_trial(number)


@pytest.mark.slow
def test_fifteen_hundred_damaged_models():
    assert sum(model_trial(number) is not None for number in range(1_500)) > 900


@pytest.mark.slow
def test_compiled_code_reads_nothing_beyond_the_ends_of_its_arrays(tmp_path):
    """With every index checked, which is how it is compiled anew."""
    code = (
        f"import runpy; trial = runpy.run_path({__file__!r})['model_trial']; [trial(number) for number in range(300)]"
    )
    checked = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=checked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2_000:]


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
