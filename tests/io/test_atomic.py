from __future__ import annotations

import pytest

from dko.io._atomic import atomic


def test_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with atomic(path) as temporary:
        assert temporary.suffix == ".csv" and temporary.parent.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders(tmp_path):
    path = tmp_path / "out.zarr"
    for content in ("first", "second"):
        with atomic(path) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [file.name for file in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_was_not_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "out.zarr"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(FileNotFoundError), atomic(path):
        pass
    assert (path / "old").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
