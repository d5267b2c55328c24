"""Every plot beside a picture of it that somebody has looked at, in baseline/.

``DKO_NEW_BASELINES=1`` draws these anew; look at them before they are committed. Weights and tables are made here, not
learned, so that they do not depend on the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import dko

from .conftest import GENES

BASELINE = Path(__file__).parent / "baseline"
# Of the difference of two pictures, as `difference` has it; 0.35 at most between matplotlib 3.9 and 3.11.
TOLERANCE = 0.4
DPI = 50

PLOTS = {
    "impact": lambda adata: dko.pl.impact(adata, GENES, groupby="type", return_fig=True),
    "waterfall": lambda adata: dko.pl.waterfall(adata, GENES, groupby="type", return_fig=True),
    "ranking": lambda adata: dko.pl.ranking(adata, groupby="type", n_genes=6, return_fig=True),
    "ranking_intervals": lambda adata: dko.pl.ranking(adata, n_genes=16, return_fig=True),
    "heatmap": lambda adata: dko.pl.heatmap(adata, groupby="type", return_fig=True),
    "heatmap_dots": lambda adata: dko.pl.heatmap(adata, groupby="type", kind="dots", return_fig=True),
    "effect_lollipop": lambda adata: dko.pl.effect(adata, GENES, kind="lollipop", n_genes=6, return_fig=True),
    "effect_volcano": lambda adata: dko.pl.effect(adata, GENES[0], n_genes=4, s=120, return_fig=True),
    "effect_heatmap": lambda adata: dko.pl.effect(adata, kind="heatmap", return_fig=True),
    "profile": lambda adata: dko.pl.profile(adata, GENES[0], n_genes=8, return_fig=True),
    "pairs_matrix": lambda adata: dko.pl.pairs(adata, return_fig=True),
    "pairs_network": lambda adata: dko.pl.pairs(adata, kind="network", return_fig=True),
    "history": lambda adata: dko.pl.history(adata, return_fig=True),
    "fit": lambda adata: dko.pl.fit(adata, split="train", return_fig=True),
    "dose_response": lambda adata: dko.pl.dose_response(adata, GENES, return_fig=True),
    "responders": lambda adata: dko.pl.dose_response(adata, GENES[0], return_fig=True),
    "shift_quiver": lambda adata: dko.pl.shift(adata, GENES[1], color="type", return_fig=True),
    "shift_grid": lambda adata: dko.pl.shift(adata, GENES[0], kind="grid", n_arrows=60, return_fig=True),
    "modules": lambda adata: dko.pl.modules(adata, return_fig=True),
    "evaluation": lambda adata: dko.pl.evaluation(adata, return_fig=True),
}


@pytest.fixture(autouse=True)
def _plain_style():
    with dko.pl.style({"font.family": "DejaVu Sans", "savefig.dpi": DPI, "text.hinting": "none"}):
        yield


def shrunk(path):
    """Read a picture so small that how text is set, and a pixel here or there, make no difference."""
    return np.asarray(Image.open(path).convert("RGB").reduce(6), dtype=float)


def difference(path, baseline):
    """Return how much a picture differs from its baseline, relative to how much of it there is: 1 if it were empty."""
    expected = shrunk(baseline)
    return np.sqrt(((shrunk(path) - expected) ** 2).mean() / ((255 - expected) ** 2).mean())


def save(figure, path):
    # Whole pixels, which versions of matplotlib do not round each in its own way.
    figure.set_size_inches((np.round(figure.get_size_inches() * DPI) + 0.01) / DPI)
    figure.savefig(path, metadata={"Software": None})


@pytest.mark.parametrize("name", PLOTS)
def test_looks_as_it_did_and_would_be_missed(name, pictured, tmp_path, unchanged):
    baseline, drawn, bare = BASELINE / f"{name}.png", tmp_path / "drawn.png", tmp_path / "bare.png"
    style = dict(mpl.rcParams)
    with unchanged(pictured):
        figure = PLOTS[name](pictured)
    assert dict(mpl.rcParams) == style and not plt.get_fignums()
    if os.environ.get("DKO_NEW_BASELINES") == "1":
        save(figure, baseline)
        Image.open(baseline).convert("RGB").quantize(64).save(baseline, optimize=True)
        pytest.skip(f"{baseline} is drawn anew")
    save(figure, drawn)
    assert difference(drawn, baseline) < TOLERANCE
    assert baseline.stat().st_size < 30_000
    for ax in figure.axes:
        for artist in [*ax.artists, *ax.collections, *ax.images, *ax.lines, *ax.patches]:
            artist.remove()
    save(figure, bare)
    assert difference(bare, baseline) > TOLERANCE


def test_every_plot_has_a_picture():
    assert {name.split("_")[0] for name in PLOTS} >= {name.split("_")[0] for name in dko.pl.__all__} - {"style"}
    assert {path.stem for path in BASELINE.glob("*.png")} == set(PLOTS)
