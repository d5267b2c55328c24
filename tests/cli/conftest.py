"""Cells in files, and the command line called in the process of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps

import mudata
import pandas as pd
import pytest
from anndata import AnnData

import dko as package
from dko._compat import modalities_apart
from dko.cli import main
from dko.io._files import write_any


@dataclass
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        """The one line that bad input gets, without its beginning."""
        lines = self.err.splitlines()
        assert self.code == 2 and self.out == "" and len(lines) == 1, self
        assert lines[0].startswith("dko: error: "), self
        return lines[0].removeprefix("dko: error: ")


@pytest.fixture
def dko(capsys):
    """Run ``dko`` with these words."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def verb_is(monkeypatch, _fitted):
    """Put other work in the place of a verb, with the parameters of that verb, once the cells have been fitted."""

    def put(name, work):
        real = getattr(package.tl, name)
        monkeypatch.setattr(package.tl, name, wraps(real)(lambda *_, **__: work()))

    return put


@pytest.fixture
def store(tmp_path):
    """Write an AnnData to a file of any ending, as modality ``rna`` of ``.h5mu``; returns the path."""

    def write(adata, name):
        path = tmp_path / name
        data = adata
        if path.suffix == ".h5mu":
            proteins = AnnData(adata.X[:, :2], obs=adata.obs[[]], var=pd.DataFrame(index=["CD4", "CD8"]))
            with modalities_apart():
                data = mudata.MuData({"rna": adata, "prot": proteins})
        write_any(data, path)
        return path

    return write


@pytest.fixture
def raw_file(store, cells):
    """80 cells x 20 genes that have not been fitted."""
    return store(cells, "cells.h5ad")


@pytest.fixture
def fitted_file(store, fitted):
    """The same after a fit with one model."""
    return store(fitted, "fitted.h5ad")


@pytest.fixture
def perturbed_file(store, perturbed):
    """Cells after a fit of an SCCVAE."""
    return store(perturbed, "perturbed.h5ad")


@pytest.fixture
def kept(tmp_path):
    """The folder of the test holds the same files with the same bytes afterwards."""

    def contents():
        return {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    class Context:
        def __enter__(self):
            self.before = contents()

        def __exit__(self, *_):
            assert contents() == self.before

    return Context()
