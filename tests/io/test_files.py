from __future__ import annotations

import mudata
import numpy as np
import pytest
from anndata import AnnData

from dko._compat import modalities_apart
from dko.io._files import check_endings, ending, read_any, write_any


@pytest.mark.parametrize("name", ["a.h5ad", "b.zarr", "C.H5AD"])
def test_anndata_survives(fitted, same, tmp_path, name):
    write_any(fitted, tmp_path / name)
    back = read_any(tmp_path / name)
    assert isinstance(back, AnnData)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(back.uns["dko"]["weights"]["influence"], fitted.uns["dko"]["weights"]["influence"])
    np.testing.assert_array_equal(back.X.toarray(), fitted.X.toarray())


def test_mudata_survives_and_its_columns_stay_with_their_modality(fitted, tmp_path):
    with modalities_apart():
        data = mudata.MuData({"rna": fitted})
    write_any(data, tmp_path / "a.h5mu")
    back = read_any(tmp_path / "a.h5mu")
    assert list(back.mod) == ["rna"]
    assert "dko_split" in back["rna"].obs and back.obs.empty


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
def test_failing_write_leaves_the_old_file(cells, tmp_path, monkeypatch, name):
    path = tmp_path / name
    write_any(cells, path)

    def half(self, target):
        target.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(AnnData, "write_h5ad", half)
    monkeypatch.setattr(AnnData, "write_zarr", half)
    with pytest.raises(OSError, match="No space left"):
        write_any(cells[:10].copy(), path)
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert read_any(path).n_obs == cells.n_obs


def test_writing_replaces_a_folder_as_a_whole(cells, fitted, tmp_path):
    write_any(fitted, tmp_path / "a.zarr")
    write_any(cells[:10].copy(), tmp_path / "a.zarr")
    back = read_any(tmp_path / "a.zarr")
    assert back.n_obs == 10 and "dko" not in back.uns


def test_missing_folder_is_named(cells, tmp_path):
    with pytest.raises(FileNotFoundError, match="'.*nowhere' does not exist; make it first"):
        write_any(cells, tmp_path / "nowhere" / "a.h5ad")


@pytest.mark.parametrize("name", ["a.csv", "a", "a.h5ad.gz", "a.h5"])
def test_unknown_ending_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="ends in none of .h5ad, .zarr and .h5mu"):
        ending(tmp_path / name)


@pytest.mark.parametrize(("name", "kind"), [("a.h5ad", "file"), ("a.h5mu", "file"), ("a.zarr", "folder")])
def test_missing_input_is_named(tmp_path, name, kind):
    with pytest.raises(FileNotFoundError, match=f"There is no {kind} '.*{name}'"):
        read_any(tmp_path / name)


@pytest.mark.parametrize("name", ["a.h5ad", "a.h5mu", "a.zarr"])
def test_what_is_no_such_file_is_refused(tmp_path, name):
    (tmp_path / name).write_text("gene,cell\n")
    with pytest.raises(ValueError, match=f"'.*{name}' cannot be read as .{name[2:]}: ."):
        read_any(tmp_path / name)


@pytest.mark.parametrize(("source", "target"), [("a.h5ad", "b.h5ad"), ("a.zarr", "b.h5ad"), ("a.h5mu", "b.h5mu")])
def test_fitting_endings_pass(source, target):
    check_endings(source, target)


@pytest.mark.parametrize(
    ("source", "target", "remedy"),
    [("a.h5ad", "b.h5mu", ".h5ad or .zarr"), ("a.h5mu", "b.zarr", ".h5mu"), ("a.h5mu", "b.h5ad", ".h5mu")],
)
def test_endings_that_do_not_fit_are_refused(source, target, remedy):
    with pytest.raises(ValueError, match=f"'{target}' cannot take; let it end in {remedy}\\."):
        check_endings(source, target)
