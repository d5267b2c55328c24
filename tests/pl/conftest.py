"""Fitted and scanned cells for the plots; every figure is closed after its test."""

from __future__ import annotations

import pytest

import dko


@pytest.fixture(autouse=True)
def _no_figure_left():
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def _scanned(_cells):
    adata = dko.tl.fit(_cells, test_fraction=0.25, max_epochs=4, progress=False, copy=True)
    dko.tl.scan(adata)
    return adata


@pytest.fixture(scope="session")
def _scanned_by_group(_grouped):
    return dko.tl.scan(_grouped, copy=True)


@pytest.fixture
def scanned(_scanned):
    """One model, test cells, all genes scanned."""
    return _scanned.copy()


@pytest.fixture
def scanned_by_group(_scanned_by_group):
    """A model per cell type, no test cells, all genes scanned."""
    return _scanned_by_group.copy()
