from __future__ import annotations

import json

import numpy as np
import pytest

import dko


def test_a_file_of_plain_arrays(grouped, tmp_path):
    dko.io.save(grouped, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert set(file.files) == {"text", "influence", "intercept"}
        np.testing.assert_array_equal(file["influence"], grouped.uns["dko"]["weights"]["influence"])
        text = json.loads(str(file["text"]))
    assert text["genes"][:2] == ["HSPA1A/B", "50%_%2F"]
    assert text["groups"] == ["B", "CD4/CD8 T"]


def test_an_older_file_is_replaced(fitted, tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("old")
    dko.io.save(fitted, str(path))
    dko.io.load(fitted, path)
    assert list(tmp_path.iterdir()) == [path]


def test_no_such_folder(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder '.*nowhere' does not exist; make it first"):
        dko.io.save(fitted, tmp_path / "nowhere" / "model.npz")
