"""A scan that was killed goes on: nothing is computed twice but one block, and nothing is taken for what it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import anndata as ad
import numpy as np
import pytest

import dko
from dko.io._kept import Kept, digest

# anndata tells of a format to come.
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")

# Ends the process, as kill -9 does, at the start of the block with this number.
KILLED = """
import os, signal, sys
import anndata as ad
import dko
from dko.models.dko.model import DkoModel

computed, scan = 0, DkoModel.scan

def counted(*given, **how):
    global computed
    if computed == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    computed += 1
    return scan(*given, **how)

DkoModel.scan = counted
dko.tl.scan(ad.read_h5ad(sys.argv[1]), out=sys.argv[2], batch_size=8, progress=False)
print(computed)
"""


def run(source, out, kill_at):
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(source), str(out), str(kill_at)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def source(fitted, tmp_path):
    fitted.write_h5ad(tmp_path / "fitted.h5ad")
    return tmp_path / "fitted.h5ad"


@pytest.fixture
def counts_of_scans(monkeypatch):
    """Numbers of cells of the blocks that are computed."""
    found, scan = [], dko.models.dko.model.DkoModel.scan

    def counted(self, values, *given, **how):
        found.append(values.shape[0])
        return scan(self, values, *given, **how)

    monkeypatch.setattr("dko.models.dko.model.DkoModel.scan", counted)
    return found


def same(path, other):
    one, two = (ad.read_h5ad(name) if name.suffix == ".h5ad" else ad.read_zarr(name) for name in (path, other))
    for a, b in ((one.X, two.X), (one.layers["dko_downstream"], two.layers["dko_downstream"])):
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    np.testing.assert_array_equal(one.var.to_numpy(), two.var.to_numpy())


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["zarr", "h5ad"])
def test_killed_again_and_again_it_gives_the_same_bit_for_bit(source, tmp_path, ending):
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    assert run(source, whole, -1).stdout == "10\n"  # blocks of 8 of 80 cells
    # Of every process three blocks are kept, and the fourth is begun in vain.
    for _ in range(3):
        assert run(source, out, 3).returncode == -signal.SIGKILL
        assert not out.exists()
    assert run(source, out, -1).stdout == "1\n"
    same(whole, out)
    assert not list(tmp_path.glob(".*"))


# Tells of each block that it begins, and is slow enough for the moment of a kill to be any within one.
WATCHED = """
import sys, time
import anndata as ad
import dko
from dko.models.dko.model import DkoModel

scan = DkoModel.scan

def told(*given, **how):
    print("block", flush=True)
    time.sleep(0.02)
    return scan(*given, **how)

DkoModel.scan = told
dko.tl.scan(ad.read_h5ad(sys.argv[1]), out=sys.argv[2], batch_size=1, progress=False)
"""


def killed_at_random(source, out, rng):
    """Kill a scan up to a third of a second after it has begun its first block; return how many it has begun."""
    command = [sys.executable, "-c", WATCHED, str(source), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "block\n"
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        begun = 1 + process.stdout.read().count("block\n")
    assert process.returncode == -signal.SIGKILL
    return begun


@pytest.mark.slow
def test_killed_at_ten_random_moments_no_more_than_one_block_is_computed_twice(source, fitted, tmp_path):
    whole, out, rng = tmp_path / "whole.zarr", tmp_path / "out.zarr", np.random.default_rng(0)
    dko.tl.scan(fitted, out=whole, batch_size=1)
    begun = 0
    for _ in range(10):
        begun += killed_at_random(source, out, rng)
        assert not out.exists()
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, str(source), str(out)], capture_output=True, text=True, check=True
    )
    begun += ended.stdout.count("block\n")
    # Each kill costs one block, which was begun and not kept, at most.
    assert fitted.n_obs <= begun <= fitted.n_obs + 10
    same(whole, out)
    assert not list(tmp_path.glob(".*"))


def test_the_user_stops_it_and_calls_again(fitted, tmp_path, monkeypatch, counts_of_scans, capsys):
    out, add = tmp_path / "out.zarr", Kept.put
    dko.tl.scan(fitted, out=tmp_path / "whole.zarr", batch_size=20)
    assert len(counts_of_scans) == 4

    def stopped(self, *given):
        add(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Kept, "put", stopped)
        dko.tl.scan(fitted, out=out, batch_size=20)
    kept = list(tmp_path.glob(".dko-blocks-*"))
    assert "The same call goes on from here" in capsys.readouterr().err and len(kept) == 1 and not out.exists()
    dko.tl.scan(fitted, out=out, batch_size=20)
    assert counts_of_scans == [20] * 8 and "blocks of cells that are done: 1." in capsys.readouterr().err
    same(tmp_path / "whole.zarr", out)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", ["genes", "groups", "cells", "model", "size", "damage"])
def test_what_is_kept_of_anything_else_is_not_used(fitted, tmp_path, monkeypatch, counts_of_scans, change):
    out, add = tmp_path / "out.h5ad", Kept.put
    how: dict[str, Any] = {"batch_size": 40}

    def stopped(self, *given):
        add(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Kept, "put", stopped)
        dko.tl.scan(fitted, out=out, **how)
    if change == "genes":
        how["genes"] = list(fitted.var_names[1:])
    elif change == "groups":
        how["groups"] = np.arange(80) > 0
    elif change == "cells":
        fitted.X[0, fitted.X[0].indices[0]] = 0
    elif change == "model":
        weights = fitted.uns["dko"]["weights"]
        weights["intercept"] = weights["intercept"] + np.float32(0.01)
    elif change == "size":
        how["batch_size"] = 30
    else:
        next(tmp_path.glob(".dko-blocks-*/*.block")).write_bytes(b"PK\x03\x04 not a zip file")
    dko.tl.scan(fitted, out=out, **how)
    assert len(counts_of_scans) == (4 if change == "size" else 3)
    assert not list(tmp_path.glob(".*"))
    expected = fitted.copy()
    dko.tl.scan(expected, **how)
    np.testing.assert_array_equal(ad.read_h5ad(out).X.toarray(), expected.layers["dko_impact"].toarray())


def test_without_room_nothing_is_kept_and_the_scan_goes_on(fitted, tmp_path, monkeypatch):
    def full(*given, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dko.io._kept.np.savez", full)
    dko.tl.scan(fitted, out=tmp_path / "out.zarr", batch_size=20)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_a_failed_scan_leaves_nothing(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("dko.tl._scan._columns", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dko.tl.scan(fitted, out=tmp_path / "out.zarr", batch_size=20)
    assert not list(tmp_path.iterdir())


def test_digests_tell_types_shapes_and_order_apart():
    array = np.arange(4, dtype=np.int32)
    some = [(array,), (array.astype(np.int64),), (array.reshape(2, 2),), (array[::-1],), (array, ""), ("", array), ()]
    assert len({digest(*parts) for parts in some}) == len(some)
    assert digest(array) == digest(array.copy())


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_a_second_scan_to_the_same_target_is_refused_at_once(fitted, tmp_path, monkeypatch, counts_of_scans):
    """Also a scan of something else: the first to end would remove what the other keeps, and the last one would win."""
    out, first, take = tmp_path / "out.h5ad", fitted.copy(), Kept.take
    said = []

    def meanwhile(self, *given):
        n_done, there = len(counts_of_scans), sorted(tmp_path.iterdir())
        for genes in (None, ["gene_3"]):
            with pytest.raises(OSError, match="Another scan is writing .*out.h5ad' at this time; wait") as caught:
                dko.tl.scan(fitted, out=out, genes=genes, batch_size=20)
            said.append(str(caught.value))
        assert len(counts_of_scans) == n_done and "dko_n_cells" not in fitted.var
        assert sorted(tmp_path.iterdir()) == there
        dko.tl.scan(fitted, out=tmp_path / "other.h5ad", batch_size=20)
        return take(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "take", lambda self, *given: (patch.undo(), meanwhile(self, *given))[1])
        dko.tl.scan(first, out=out, batch_size=20)
    assert len(said) == 2
    same(out, tmp_path / "other.h5ad")
    dko.tl.scan(fitted, out=out, genes=["gene_3"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.h5ad", "out.h5ad"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_a_link_is_what_it_leads_to(tmp_path):
    real, link = tmp_path / "large disk" / "out.h5ad", tmp_path / "link.h5ad"
    real.parent.mkdir()
    link.symlink_to(real)
    kept = Kept(link, "a")
    with kept.keeping():
        assert kept.folder.parent == real.parent and kept.folder.is_dir()
        with pytest.raises(OSError, match="Another scan is writing"), Kept(real, "b").keeping():
            pass
