"""Model files that are damaged, or made to harm: refused in one sentence, or read as they were written."""

from __future__ import annotations

import functools
import io
import json
import tempfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dko
from dko.io._model import read_model

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL: dict[str, Any] = {"max_steps": 2, "progress": False}
SCREEN = {"perturbation_key": "perturbation", "control": "control", "n_latent": 4, "hidden": (8,), "batch_size": 32}
FITS: dict[str, dict[str, Any]] = {
    "direct by group": {"effects": "direct", "groupby": "half"},
    "total": {"effects": "total"},
    "low rank": {"rank": 3},
    "screen": {"model": "sccvae", "n_members": 2, **SCREEN},
    "published screen": {"model": "sccvae", "preset": "paper", "code_hidden": (6,), **SCREEN},
}


@functools.cache
def originals():
    """A file of each kind of model as it is written now, and as version 0.1.0 did, compressed and without a digest."""
    cells = dko.datasets.grn(60, 12, density=0.4, share_present=(0.3, 0.9), depth=400, rng=1)
    cells.obs["half"] = ["a", "b"] * 30
    screen = dko.datasets.perturb_seq(4, 20, n_cells=20, n_controls=40, rng=1)
    found = {}
    for name, how in FITS.items():
        fitted = dko.tl.fit(screen if "screen" in name else cells, copy=True, **SMALL, **how)
        with tempfile.TemporaryDirectory() as folder:
            dko.io.save(fitted, Path(folder) / "model.npz")
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


def members_of(file):
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def changed_bytes(rng, file):
    found = bytearray(file)
    for at in rng.integers(len(file), size=rng.integers(1, 9)):
        found[at] = rng.integers(256)
    return bytes(found)


def cut_off(rng, file):
    return file[: rng.integers(len(file))]


def cut_out(rng, file):
    start, stop = sorted(rng.integers(len(file), size=2))
    return file[:start] + file[stop:]


def doubled(rng, file):
    start, stop = sorted(rng.integers(len(file), size=2))
    return file[:stop] + file[start:]


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
    new = rng.choice(
        [
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
            b"{'descr': '|O', 'fortran_order': False, 'shape': (), }",
            b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (12,), }",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 12), }",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (20L,), }",
            b"__import__('os').abort()",
            b"(" * 300,
            changed_bytes(rng, content[10:end]),
        ]
    )
    padded = bytes(new)[: end - 11].ljust(end - 11) + b"\n"
    members[name] = content[:10] + padded + content[end:]
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
    else:
        return zipped(members, rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    return zipped(members)


def array_changed(rng, file):
    text, arrays = opened(file)
    # That it is not known is nothing wrong, which a file of old says by this number alone.
    names = [name for name in arrays if name != "variation" or "digest" in text]
    name = rng.choice(names)
    arrays[name] = of_another_form(rng, arrays[name])
    return packed(text, arrays)


def of_another_form(rng, array):
    """An array of another shape, type or order, or with a number that is none."""
    kinds = ("float64", "float16", "int32", "int64", "complex64", "object", "U9", "bool", ">f4", "uint8")
    match rng.integers(9):
        case 0:
            return array[..., :-1]
        case 1:
            return array[None]
        case 2:
            return array.reshape(-1)
        case 3:
            return np.concatenate([array, array], axis=rng.integers(array.ndim))
        case 4:
            return np.asfortranarray(array)
        case 5:
            return array.T
        case 6:
            return array[..., :0]
        case 7:
            found = array.astype(float)
            found.flat[rng.integers(found.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
            return found
    return array.astype(rng.choice(kinds))


WRONG: tuple[Any, ...] = (
    None,
    {},
    [],
    [[1]],
    "",
    "x",
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    True,
    {"a": {"b": []}},
    ["a", "a"],
)


def text_changed(rng, file):
    """An entry of the text, at any depth, that is of another kind, or missing."""
    text, arrays = opened(file)
    place: Any = text
    while True:
        key = rng.choice(len(place)) if isinstance(place, list) else rng.choice(list(place))
        inside = place[key]
        if isinstance(inside, dict | list) and inside and rng.random() < 0.8:
            place = inside
            continue
        break
    if rng.random() < 0.3:
        del place[key]
    else:
        of_other_kind = [value for value in WRONG if type(value) is not type(inside)]
        place[key] = of_other_kind[rng.integers(len(of_other_kind))]
    return packed(text, arrays)


def text_of_another_kind(rng, file):
    _, arrays = opened(file)
    texts = [
        "",
        "{}",
        "[1]",
        "no",
        "[" * 100_000,
        '{"format": "dko-model-1"}',
        '{"format": "dko-model-1", "format": 1}',
    ]
    arrays_of_text = [np.array(text) for text in texts]
    return packed(
        [*arrays_of_text, np.array(["a", "b"]), np.array({}, dtype=object), np.ones(3)][rng.integers(10)], arrays
    )


MUTATIONS = (
    *(changed_bytes, cut_off, cut_out, doubled, end_of_the_archive, header_of_an_array, members_changed),
    *(array_changed, array_changed, text_changed, text_changed, text_of_another_kind),
)


def trial(number):
    """Read one damaged file; return why it was refused, or None where it was read as what was written."""
    rng = np.random.default_rng(number)
    name = list(originals())[number % len(originals())]
    file = MUTATIONS[rng.integers(len(MUTATIONS))](rng, originals()[name])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "model.npz"
        path.write_bytes(originals()[name])
        expected = read_model(path)
        path.write_bytes(file)
        try:
            found = read_model(path)
        except ValueError as error:
            message = str(error)
            assert type(error) is ValueError and "\n" not in message and len(message) < 600
            assert message.startswith(f"{str(path)!r} is not a model that dko.io.save wrote: ") and message.endswith(
                "."
            )
            return message
    assert (found.genes, found.groups, found.targets) == (expected.genes, expected.groups, expected.targets)
    assert {name for name in READ if found.params.get(name) != expected.params.get(name)} <= {"similarity"}
    assert found.weights.keys() == expected.weights.keys()
    for name, array in expected.weights.items():
        assert found.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(found.weights[name], array)
    return None


# Parameters that decide what is computed.
READ = (
    *("model", "effects", "rank", "groupby", "values", "use_raw", "layer", "log_base", "target_sum", "similarity"),
    *("perturbation_key", "control", "features", "config"),
)


@pytest.mark.parametrize("number", range(150))
def test_a_damaged_file_is_refused_or_read_as_it_was(number):
    trial(number)


def test_files_that_are_whole_are_read():
    for name, file in originals().items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.npz"
            path.write_bytes(file)
            assert read_model(path).total == name.startswith("total")


def test_a_fit_that_starts_from_a_damaged_file(tmp_path, cells, unchanged):
    (tmp_path / "model.npz").write_bytes(originals()["total"][:-100])
    with (
        unchanged(cells),
        pytest.raises(ValueError, match=r"^'.*model.npz' is not a model that dko.io.save wrote: .*\.$"),
    ):
        dko.tl.fit(cells, init_from=tmp_path / "model.npz", **SMALL)


def zeros(**of_text):
    text, arrays = opened(originals()["total"])
    many = np.zeros((1, 6_000, 6_000), dtype=np.float32)
    return packed({**text, **of_text}, {**arrays, "influence": many}, np.savez_compressed)


def long_text(part, size=9_900_000):
    _, arrays = opened(originals()["total"])
    content = '{"format": "dko-model-1", "genes": [' + part * (size // len(part))
    return packed(np.array(content), arrays, np.savez_compressed)


# Files that ask for far more memory than they are large.
BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros": zeros,
    "zeros of many genes": lambda: zeros(genes=[f"gene_{number}" for number in range(6_000)]),
    "names": lambda: long_text('"ab",'),
    "text": lambda: long_text("[],", 40_000_000),
    **{part: functools.partial(long_text, part) for part in ("[],", '{"a":1},', "1e1,", '{"a":[]},')},
    "directory": lambda: zipped([(f"{number}.npy", b"") for number in range(60_000)]),
}
SLOW = [*BOMBS][2:]


def peak_of(read):
    """Return the most memory that something took at a time, in MiB."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def refused(path):
    with pytest.raises(ValueError, match="is not a model that dko.io.save wrote: "):
        read_model(path)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in BOMBS])
def test_files_that_ask_for_memory_do_not_get_it(name, tmp_path):
    (tmp_path / "model.npz").write_bytes(BOMBS[name]())
    assert peak_of(lambda: refused(tmp_path / "model.npz")) < 200


def test_a_long_text_is_read_again(fitted, tmp_path, monkeypatch):
    """As of many groups, each validated after every step: more text than arrays."""
    monkeypatch.setattr("dko.io._model_file._LONGEST", 100)
    dko.io.save(fitted, tmp_path / "model.npz")
    assert read_model(tmp_path / "model.npz").genes == fitted.uns["dko"]["genes"]
    text, arrays = opened((tmp_path / "model.npz").read_bytes())
    (tmp_path / "model.npz").write_bytes(packed(text, arrays, np.savez_compressed))
    refused(tmp_path / "model.npz")


def test_a_large_file_takes_little_more_memory_than_it_is_large(tmp_path):
    text, arrays = opened(originals()["total"])
    text["genes"] = [f"gene_{number}" for number in range(3_000)]
    del text["digest"]
    rng = np.random.default_rng(0)
    large = {
        name: rng.random([3_000 if size == 12 else size for size in array.shape], dtype=np.float32).astype(array.dtype)
        for name, array in arrays.items()
    }
    large["total_influence"][:, range(3_000), range(3_000)] = 0
    (tmp_path / "model.npz").write_bytes(packed(text, large))
    assert peak_of(lambda: read_model(tmp_path / "model.npz")) < 1.5 * (tmp_path / "model.npz").stat().st_size / 2**20


def campaign(n):
    """Try so many damaged files; return how many were refused, and the most memory that was taken at a time."""
    originals()
    counts: list[bool] = []
    peak = peak_of(lambda: counts.extend(trial(number) is not None for number in range(n)))
    return sum(counts), peak


@pytest.mark.slow
def test_six_thousand_damaged_files():
    refused, peak = campaign(6_000)
    assert refused > 5_000 and peak < 200
