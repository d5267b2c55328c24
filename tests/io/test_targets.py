"""Kinds of target for every writer: what cannot be replaced without loss is refused first, in one sentence."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from contextlib import chdir, suppress
from pathlib import Path

import anndata as ad
import mudata
import pytest

import dko
from dko._compat import modalities_apart
from dko.cli import main
from dko.io._files import write_any

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning"),
    pytest.mark.skipif(os.name == "nt", reason="pipes, sockets and modes of files as POSIX has them"),
]
STORE = {".zattrs": json.dumps({"encoding-type": "anndata"}), ".zgroup": '{"zarr_format": 2}', "X/0.0": "values"}
OLD = "years of work"
# Folders and stores, by the files in them.
TREES: dict[str, dict[str, str]] = {
    "thesis": {"thesis.txt": OLD},
    "nested": {"a/b/c/thesis.txt": OLD, "a/.hidden": "more"},
    "store": STORE,
    "store v3": {"zarr.json": json.dumps({"attributes": {"encoding-type": "anndata"}}), "X/c/0/0": "values"},
    "store and thesis": {**STORE, "thesis.txt": OLD},
    "thesis in store": {**STORE, "uns/chapters/thesis.txt": OLD},
    "other store": {".zattrs": json.dumps({"encoding-type": "MuData"}), ".zgroup": "{}", "mod/rna/X/0": "values"},
    "image": {".zgroup": '{"zarr_format": 2}', "0/0.0": "pixels"},
    "array": {"zarr.json": '["no", "group"]', "c/0/0": "values"},
}
NODES = {"device": stat.S_IFCHR, "disk": stat.S_IFBLK}  # as /dev/null and a disk that is not there


def fill(path, what):
    """Make one thing at `path`."""
    if what in TREES:
        for name, content in TREES[what].items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
    elif what == "file":
        path.write_text(OLD)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as opened, chdir(path.parent):  # names of sockets are short
            opened.bind(path.name)
    else:
        try:
            os.mknod(path, 0o600 | NODES[what], os.makedev(1, 3))
        except PermissionError:
            pytest.skip("not allowed to make device nodes")
    return path


THINGS = ["file", "folder", *TREES, "pipe", "socket", *NODES]
# What a writer of stores replaces, and what all others do.
REPLACED = {True: {"store", "store v3"}, False: {"file"}}


def read_only(place, path):
    return fill(path, "store" if path.suffix == ".zarr" else "file").chmod(0o555)


def linked_read_only(place, path):
    read_only(place, place / f"behind{path.suffix}")
    path.symlink_to(place / f"behind{path.suffix}")


def loop_of_two(place, path):
    path.symlink_to(place / "other")
    (place / "other").symlink_to(path)


def linked_parent(place, path):
    fill(place / "file", "file")
    (place / "parent").symlink_to(place / "file")
    return place / "parent" / path.name


# Paths that no writer takes: what is made there, and where to write if it is not that path.
NO_TARGETS = {
    "read-only": read_only,
    "link to read-only": linked_read_only,
    "loop": lambda place, path: path.symlink_to(path),
    "loop of two links": loop_of_two,
    "link into nowhere": lambda place, path: path.symlink_to(place / "nowhere" / path.name),
    "link to a name too long": lambda place, path: path.symlink_to(place / ("x" * 300)),
    "parent missing": lambda place, path: place / "nowhere" / path.name,
    "parent is a file": lambda place, path: fill(place / "parent", "file") / path.name,
    "parent is a pipe": lambda place, path: fill(place / "parent", "pipe") / path.name,
    "parent is a link to a file": linked_parent,
    "no place for files": lambda place, path: Path("/proc") / path.name,
    "name too long": lambda place, path: place / ("x" * 300 + path.suffix),
    "zero byte": lambda place, path: place / f"a\0b{path.suffix}",
    "no text": lambda place, path: place / f"\ud800{path.suffix}",
    "empty": lambda place, path: "",
    "dot": lambda place, path: ".",
    "dots": lambda place, path: "..",
    "root": lambda place, path: "/",
    "folder above": lambda place, path: place / "..",
    "the folder": lambda place, path: f"{place}/models/",
}


def state(folder, without=None):
    """What is there, but for one thing: kinds, modes, links and contents, without opening a pipe."""
    found = {}
    for path in [Path(at, name) for at, *names in os.walk(folder) for name in sum(names, [])]:
        if without in (path, *path.parents):
            continue
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = status.st_mode, status.st_uid, status.st_rdev, content
    return found


@pytest.fixture
def place(tmp_path):
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def command(*words):
    """Run a command; its sentence becomes an error, as that of a call is."""

    def run(adata, path, capsys, tmp_path):
        adata.write_h5ad(tmp_path / "in.h5ad")
        out = ["--out", str(tmp_path / "unwritten.h5ad")] if "--table" in words else []
        if main(["rank", str(tmp_path / "in.h5ad"), "--quiet", "--force", *out, *words, str(path)]):
            raise OSError(capsys.readouterr().err.removeprefix("dko: error: ").removesuffix("\n"))

    return run


# Each with the ending of what it writes; those of a command take a path as its words, in which there is no empty one.
WRITERS = {
    "save": (".npz", lambda adata, path, *_: dko.io.save(adata, path)),
    "report": (".html", lambda adata, path, *_: dko.io.write_report(adata, path)),
    "embedding": (".html", lambda adata, path, *_: dko.io.write_embedding(adata, path)),
    "scan h5ad": (".h5ad", lambda adata, path, *_: dko.tl.scan(adata, out=path)),
    "scan zarr": (".zarr", lambda adata, path, *_: dko.tl.scan(adata, out=path)),
    "dko --out": (".h5ad", command("--out")),
    "dko --table": (".csv", command("--table")),
}


@pytest.fixture
def refused(cells, place, tmp_path, capsys, monkeypatch):
    """The writer says one sentence before it begins with cells that were not even fitted, and all stays as it was."""
    monkeypatch.chdir(place)

    def run(write, path):
        before = state(place)
        with pytest.raises((OSError, ValueError)) as caught:
            write(cells, path, capsys, tmp_path)
        assert state(place) == before
        assert type(caught.value).__module__ == "builtins" and not isinstance(caught.value, UnicodeError)
        said = str(caught.value)
        assert "No scan" not in said and "No fitted model" not in said, "the work has begun"
        assert said.endswith(".") and "\n" not in said and "Errno" not in said and len(said) < 700, said

    return run


IN_THE_WAY = [
    (name, what, where)
    for name, (suffix, _) in WRITERS.items()
    for what in THINGS
    if what not in REPLACED[suffix == ".zarr"]
    for where in (("itself", "behind links") if name in ("save", "scan zarr") else ("itself",))
]


@pytest.mark.parametrize(("name", "what", "where"), IN_THE_WAY)
def test_things_in_the_way_are_refused(refused, place, name, what, where):
    suffix, write = WRITERS[name]
    path = place / f"target{suffix}"
    fill(path if where == "itself" else place / "behind", what)
    if where == "behind links":
        (place / "between").symlink_to(place / "behind")
        path.symlink_to("between")
    refused(write, path)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", NO_TARGETS)
def test_what_no_writer_can_write_is_refused(refused, place, name, kind):
    suffix, write = WRITERS[name]
    if name.startswith("dko") and kind in ("zero byte", "no text", "the folder"):
        pytest.skip("no word of a command line, or a file without its ending")
    path = place / f"target{suffix}"
    found = NO_TARGETS[kind](place, path)
    refused(write, path if found is None else found)


def written(suffix, path):
    """Whether a whole file or store of this kind is there."""
    if suffix == ".zarr":
        return ad.read_zarr(path).n_obs == 80
    starts = {".npz": b"PK", ".h5ad": b"\x89HDF", ".csv": b"gene,", ".html": b"<!DOCTYPE html>"}
    return path.read_bytes().startswith(starts[suffix])


PLACES = ("itself", "link", "two links", "dangling", "linked folder", "nothing", "long name")


@pytest.mark.parametrize(
    ("name", "where"),
    [(name, where) for name in ("save", "scan h5ad", "scan zarr") for where in PLACES]
    + [("report", "link"), ("dko --table", "link"), ("dko --table", "nothing")],
)
def test_files_are_replaced_and_links_and_modes_stay(fitted, place, capsys, tmp_path, name, where):
    suffix, write = WRITERS[name]
    path = behind = place / f"target{suffix}"
    if where == "long name":
        path = behind = place / ("x" * (255 - len(suffix)) + suffix)
    if where in ("link", "two links", "dangling"):
        (place / "elsewhere").mkdir()
        behind = place / "elsewhere" / f"behind{suffix}"
        path.symlink_to(Path("elsewhere", "between" if where == "two links" else behind.name))
    if where == "two links":
        (place / "elsewhere" / "between").symlink_to(behind.name)
    if where == "linked folder":
        (place / "folder").mkdir()
        (place / "linked").symlink_to("folder")
        path, behind = place / "linked" / path.name, place / "folder" / path.name
    mode = 0o700 if suffix == ".zarr" else 0o600
    if where not in ("nothing", "dangling"):
        fill(behind, "store" if suffix == ".zarr" else "file").chmod(mode)
    before, had = state(place, without=behind), behind.exists()
    dko.tl.scan(fitted)
    write(fitted, path, capsys, tmp_path)
    assert written(suffix, path) and not behind.is_symlink()
    assert state(place, without=behind) == before
    usual = place / "usual"
    usual.mkdir() if suffix == ".zarr" else usual.touch()
    assert stat.S_IMODE(behind.stat().st_mode) == (mode if had else stat.S_IMODE(usual.stat().st_mode))


def test_extended_attributes_stay_and_the_time_is_new(fitted, place):
    path = fill(place / "model.npz", "file")
    try:
        os.setxattr(path, "user.note", b"mine")
    except (AttributeError, OSError) as error:
        pytest.skip(f"no extended attributes here: {error}")
    os.utime(path, (0, 0))
    dko.io.save(fitted, path)
    assert os.getxattr(path, "user.note") == b"mine" and path.stat().st_mtime > 1e9


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(fitted, place):
    path = fill(place / "model.npz", "file")
    os.chown(path, 1234, 1235)
    dko.io.save(fitted, path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def several(adata):
    with modalities_apart():
        return mudata.MuData({"rna": adata})


GROWING = {
    **{name: WRITERS[name] for name in ("save", "report", "embedding", "scan h5ad", "scan zarr")},
    "cells h5ad": (".h5ad", lambda adata, path, *_: write_any(adata, path)),
    "cells h5mu": (".h5mu", lambda adata, path, *_: write_any(several(adata), path)),
    "cells zarr": (".zarr", lambda adata, path, *_: write_any(adata, path)),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_file_that_cannot_grow_leaves_what_was_there(fitted, place, tmp_path, name):
    resource = pytest.importorskip("resource")
    suffix, write = GROWING[name]
    target = place / f"target{suffix}"
    dko.tl.scan(fitted)
    cells = fitted.copy()
    write(fitted, target)
    sizes = [file.stat().st_size for file in place.rglob("*") if file.is_file()]
    before, limits = state(place), resource.getrlimit(resource.RLIMIT_FSIZE)
    for share in (0.5,) if suffix in (".html", ".zarr") else (0, 0.01, 0.3, 0.6, 0.9):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * max(sizes)), limits[1]))
        try:
            with pytest.raises(OSError, match=re.escape(f"{str(target)!r} could not be written: ")) as caught:
                write(cells, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert str(caught.value).endswith("(ulimit -f), or name another folder. What was there is unchanged.")
        assert state(place) == before
    gc.collect()  # HDF5 closes what is left over at that time, and said so
    write(cells, target)
    assert [path.name for path in place.iterdir()] == [target.name]


@pytest.fixture
def small_disk(place):
    """64 KiB in all."""
    ran = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if ran.returncode:
        pytest.skip("not allowed to mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
@pytest.mark.parametrize("name", ["save", "scan h5ad", "scan zarr", "report", "dko --out", "dko --table"])
def test_a_full_disk_leaves_what_was_there(fitted, small_disk, capsys, tmp_path, name):
    suffix, write = WRITERS[name]
    target = fill(small_disk / f"target{suffix}", "store" if suffix == ".zarr" else "file")
    with (small_disk / "rest").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"0" * 512):
            pass
    before = state(small_disk)
    dko.tl.scan(fitted)
    with pytest.raises(OSError, match="No space left on device; make room there") as caught:
        write(fitted, target, capsys, tmp_path)
    assert str(caught.value).endswith(".") and state(small_disk) == before


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_scan_refuses_the_file_of_its_cells_behind_any_link(fitted, place, suffix):
    fitted.write_h5ad(place / "cells.h5ad")
    (place / "link.h5ad").symlink_to("cells.h5ad")
    os.link(place / "cells.h5ad", place / "twin.h5ad")
    backed = ad.read_h5ad(place / "cells.h5ad", backed="r")
    before = state(place)
    for name in ("cells.h5ad", "link.h5ad", "twin.h5ad"):
        with pytest.raises(ValueError, match="is the file that these cells are read from"):
            dko.tl.scan(backed[:10] if suffix == ".zarr" else backed, out=place / name)
    backed.file.close()
    assert state(place) == before


def test_scan_replaces_no_file_that_cells_may_be_read_from_later(fitted, place):
    arrays = pytest.importorskip("dask.array", reason="dask is not installed")
    fitted.X = arrays.from_array(fitted.X.toarray(), chunks=(20, -1))
    dko.tl.scan(fitted, out=place / "impacts.h5ad")
    before = state(place)
    with pytest.raises(ValueError, match="perhaps from this one; name a file that is not there yet"):
        dko.tl.scan(fitted, out=place / "impacts.h5ad")
    assert state(place) == before


def test_the_demo_looks_at_every_file_first(place, capsys, monkeypatch):
    fill(place / "fit.png", "nested")
    before = state(place)
    monkeypatch.delattr("dko.datasets.pbmc68k")
    assert main(["demo", "--out", str(place), "--quiet"]) == 2
    assert "choose another name" in capsys.readouterr().err
    assert state(place) == before
