"""The old or the new, never half of one, never none: also when the process dies between any two steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import anndata as ad
import h5py
import numpy as np
import pytest

import dko
from dko.io import _atomic
from dko.io._atomic import atomic
from dko.io._files import write_any
from dko.io._hdf5 import Disk
from dko.io._target import check_target


def content(path):
    """Text of a file, or of the only part of a store."""
    return (path / "X" / "0" if path.is_dir() else path).read_text()


def put(path, text):
    if path.suffix == ".zarr":
        (path / "X").mkdir(parents=True)
        (path / ".zattrs").write_text(json.dumps({"encoding-type": "anndata"}))
        path = path / "X" / "0"
    path.write_text(text)


def replace(path, text):
    with atomic(path, store=path.suffix == ".zarr") as temporary:
        assert temporary.suffix == "", "no reader takes it for its format"
        put(temporary.with_name("made" + path.suffix), text)
        temporary.with_name("made" + path.suffix).rename(temporary)


@pytest.fixture(params=["out.csv", "out.zarr", "in two renames.zarr"])
def target(request, tmp_path, monkeypatch):
    if "renames" in request.param:
        monkeypatch.setattr(_atomic, "_exchange", lambda *_: False)
    return tmp_path / request.param


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old(target, error):
    put(target, "old")
    with pytest.raises(error), atomic(target, store=target.suffix == ".zarr") as temporary:
        temporary.write_text("half")
        raise error
    assert content(target) == "old" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("store", [True, False])
def test_what_has_come_meanwhile_is_not_replaced(tmp_path, store):
    path = tmp_path / "out"
    with pytest.raises(IsADirectoryError, match="folder with other content"), atomic(path, store=store) as temporary:
        temporary.write_text("new")
        path.mkdir()
        (path / "thesis.txt").write_text("years of work")
    assert (path / "thesis.txt").read_text() == "years of work" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a system that swaps folders in one step")
def test_folders_are_swapped_in_one_step(tmp_path):
    put(tmp_path / "a.zarr", "a")
    put(tmp_path / "b.zarr", "b")
    assert _atomic._exchange(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert content(tmp_path / "a.zarr") == "b" and content(tmp_path / "b.zarr") == "a"
    assert not _atomic._exchange(tmp_path / "a.zarr", tmp_path / "c.zarr")


def killed_at(step, work):
    """Do `work` in a process that is killed before its `step`-th call of the system; False if it ends before."""
    process = os.fork()
    if not process:
        steps = iter(range(step))

        def kill(event, _):
            is_step = event.startswith(("os.", "open", "shutil.", "tempfile.", "ctypes.")) and event != "os.kill"
            if is_step and next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed anywhere")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_killed_between_any_two_steps(target):
    before = None if target.name == "out.csv" else "old"
    step = 0
    while True:
        if before:
            replace(target, before)
        was_killed = killed_at(step, lambda: replace(target, "new"))
        if "renames" in target.name and not target.exists():
            check_target(target, store=True)  # as every reader and writer does
        found = content(target) if target.exists() else None
        assert found in (before, "new"), step
        for left in target.parent.iterdir():
            assert left == target or ".dko-" in left.name
        if not was_killed:
            break
        replace(target, before or "old")
        assert list(target.parent.iterdir()) == [target], step
        if before is None:
            _atomic.shutil.rmtree(target) if target.is_dir() else target.unlink()
        step += 1
    assert step > 10 and found == "new"


def read(path):
    return np.load(path)["intercept"] if path.suffix == ".npz" else getattr(ad, f"read_{path.suffix[1:]}")(path).X


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed anywhere")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning", "ignore:Writing zarr v2:UserWarning")
@pytest.mark.parametrize(("name", "stride"), [("model.npz", 2), ("impacts.h5ad", 3), ("impacts.zarr", 400)])
def test_writers_killed_at_some_steps(name, stride, fitted, tmp_path):
    """What they leave, the next write removes; until then no reader takes it for a file of its format."""
    path = tmp_path / "there" / name
    path.parent.mkdir()
    other = fitted[:40].copy()
    other.uns["dko"]["weights"]["intercept"] = np.ones((1, 20), dtype=np.float32)

    def write(adata):
        dko.io.save(adata, path) if path.suffix == ".npz" else dko.tl.scan(adata, out=path, batch_size=20)

    step, n_left, expected = 0, 0, {}
    for which, adata in (("new", other), ("old", fitted)):
        write(adata)
        expected[which] = read(path)
    while killed_at(step, lambda: write(other)):
        found = read(path)
        assert [one.shape == found.shape and abs(one - found).max() == 0 for one in expected.values()].count(True) == 1
        left = [entry for entry in path.parent.rglob("*") if entry != path and path not in entry.parents]
        assert all(entry.suffix not in (".h5ad", ".zarr", ".npz") for entry in left)
        n_left += bool(left)
        write(fitted)
        assert list(path.parent.iterdir()) == [path]
        step += stride
    assert n_left and abs(read(path) - expected["new"]).max() == 0


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.parametrize("name", ["out.zarr", "out.h5ad"])
def test_ctrl_c_leaves_nothing_behind(name, tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    old, new = (ad.AnnData(np.full((n, 200), n, dtype=np.float32)) for n in (3, 2000))
    new.layers.update({f"layer_{number}": new.X for number in range(4)})
    write_any(old, tmp_path / name)
    timer = threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            write_any(new, tmp_path / name)
            time.sleep(1)  # a write that ended before
    finally:
        signal.signal(signal.SIGINT, before)
    time.sleep(0.3)
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    assert read(tmp_path / name)[0, 0] in (3, 2000)


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("by", ["write_any", "scan"])
def test_a_signal_that_raises_does_not_end_the_process(by, fitted, tmp_path, monkeypatch):
    def stop(*_):
        raise SystemExit(143)

    written, n_written, write = tmp_path / "out.h5ad", 0, Disk.write

    def signalled(disk, data):
        nonlocal n_written
        n_written += 1
        if n_written == at:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # in which it arrives
        return write(disk, data)

    call = {
        "write_any": lambda: write_any(fitted, written),
        "scan": lambda: dko.tl.scan(fitted, out=written, progress=False),
    }[by]
    call()
    content = written.read_bytes()
    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(Disk, "write", signalled)
    try:
        for at in (1, 11, 30):
            n_written = 0
            with pytest.raises(SystemExit, match="143"):
                call()
            assert n_written >= at and written.read_bytes() == content
            assert not list(tmp_path.glob(".dko-partial*"))
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("by", ["write_any", "scan"])
def test_there_is_no_empty_raw(by, fitted, tmp_path):
    if by == "scan":  # which makes a file of its own
        dko.tl.scan(fitted, out=tmp_path / "out.h5ad", progress=False)
    else:
        write_any(fitted, tmp_path / "out.h5ad")
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert "raw" not in file, "anndata before 0.12 cannot read it"


def test_only_what_dead_processes_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here, long_ago = _atomic._here(), time.time() - 31 * 24 * 60 * 60
    names = {
        f".dko-partial-{here}-{dead.pid}-abcd1234": False,
        f".dko-partial-{here}-{os.getppid()}-abcd1234": True,
        f".dko-partial-{here}-{os.getpid()}-abcd1234": True,
        f".dko-partial-00000000-{dead.pid}-abcd1234": True,
        ".dko-partial-00000000-1-abcd5678": False,  # of another machine, and old
        f".dko-partial-{here}-{10**30}-abcd1234": True,
        ".dko-partial-mine": True,
        f"dko-partial-{here}-{dead.pid}-abcd1234": True,
    }
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "partial").write_text("half")
    os.utime(tmp_path / ".dko-partial-00000000-1-abcd5678", (long_ago, long_ago))
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / f".dko-partial-{here}-{dead.pid}-linked12"
    link.symlink_to("elsewhere")
    replace(tmp_path / "out.csv", "new")
    kept = {name for name, stays in names.items() if stays} | {"out.csv", "elsewhere", link.name}
    assert {path.name for path in tmp_path.iterdir()} == kept
