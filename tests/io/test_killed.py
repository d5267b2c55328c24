"""Writers that are killed at a random moment: the old file is whole or the new one is, and the next write cleans up."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest

import dko

N_KILLS = int(os.environ.get("DKO_TEST_KILLS", "40"))  # of each kind of writer

# Writes first one and then other cells, again and again, in children that are killed when they have begun to do so for
# the seconds that it is told.
SERVER = """
import os, signal, sys, time, warnings
import anndata as ad, dko

warnings.simplefilter("ignore")
dko.settings.verbosity = 0
write, *names = sys.argv[1:]
both = [ad.read_h5ad(name) for name in names]
dko.tl.scan(both[0])  # compiled before the children begin
end, begun = os.pipe()
print("ready", flush=True)
for line in sys.stdin:
    both.reverse()
    child = os.fork()
    if not child:
        exec(write, {**globals(), "adata": both[0]})
        os.write(begun, b"!")
        while True:
            for adata in both:
                exec(write)
    os.read(end, 1)
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""
WRITERS = {
    "model.npz": "dko.io.save(adata, {path!r})",
    "impacts.h5ad": "dko.tl.scan(adata, out={path!r}, batch_size=10)",
    "impacts.zarr": "dko.tl.scan(adata, out={path!r}, batch_size=10)",
}


@pytest.fixture
def kill(tmp_path, fitted, quick):
    """Kill a writer after some seconds, as a function; the cells that it writes."""
    both = [dko.tl.fit(fitted[:40], copy=True, **{**quick, "rng": 1}), fitted]
    names = [str(tmp_path / name) for name in ("a.h5ad", "b.h5ad")]
    for adata, name in zip(both, names, strict=True):
        adata.write_h5ad(name)
    servers = []

    def start(write):
        words = [sys.executable, "-c", SERVER, write, *names]
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        servers.append(server)
        told, said = server.stdin, server.stdout
        assert told and said and said.readline() == "ready\n"

        def after(seconds):
            told.write(f"{seconds}\n")
            assert said.readline() == "killed\n"

        return after

    yield start, both
    for server in servers:
        server.communicate()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed anywhere")
@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_a_random_moment(kill, cells, tmp_path, name):
    start, both = kill
    path = tmp_path / "there" / name
    path.parent.mkdir()

    def write(adata):
        exec(WRITERS[name].format(path=str(path)), {"dko": dko, "adata": adata})

    def read():
        if path.suffix != ".npz":
            return getattr(ad, f"read_{path.suffix[1:]}")(path).X.toarray()
        dko.io.load(cells, path)
        return cells.uns["dko"]["weights"]["influence"]

    expected = []
    for adata in both:
        write(adata)
        expected.append(read())
    after = start(WRITERS[name].format(path=str(path)))
    draw, n_left, seen = random.Random(0), 0, set()
    for _ in range(N_KILLS):
        after(draw.uniform(0.0, 0.3))
        found = read()
        seen.add([found.shape == one.shape and np.array_equal(found, one) for one in expected].index(True))
        left = [entry for entry in path.parent.iterdir() if entry != path]
        n_left += len(left)
        assert len(left) <= 1, "the next write cleans up"
        for entry in path.parent.rglob("*"):
            assert entry == path or path in entry.parents or entry.suffix not in (".h5ad", ".zarr", ".npz")
    assert n_left and seen == {0, 1}, "some were killed in the middle"
    write(both[0])
    assert list(path.parent.iterdir()) == [path]
