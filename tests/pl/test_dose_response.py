from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import dko


@pytest.fixture
def dosed(fitted):
    dko.tl.dose_response(fitted, ["gene_2", ("gene_5", "gene_3")], doses=[0.0, 0.5, 1.0])
    return fitted


def test_a_curve_with_its_quartiles_per_knockout(dosed):
    ax = dko.pl.dose_response(dosed, show=False)
    assert [text.get_text() for text in ax.get_legend().texts] == ["gene_2", "gene_3+gene_5"]
    assert ax.get_ylabel() == "impact (Bray-Curtis, 0 to 1)" and ax.get_xlabel() == "dose"
    for line, band, label in zip(ax.lines, ax.collections, ["gene_2", "gene_3+gene_5"], strict=True):
        table = dko.get.dose_response(dosed, [label])
        np.testing.assert_allclose(line.get_xydata(), table[["dose", "impact_mean"]])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == 0 and heights.max() == pytest.approx(table["impact_q75"].max())
    assert ax.get_ylim()[0] == 0


def test_one_knockout_has_a_panel_of_genes(dosed):
    axes = dko.pl.dose_response(dosed, "gene_2", n_responders=4, show=False)
    assert len(axes) == 2 and axes[0].get_title() == "gene_2" and axes[0].get_legend() is None
    responders = dko.get.dose_response(dosed, "gene_2", responders=True)
    genes = list(dict.fromkeys(responders["gene"]))[:4]
    assert [text.get_text() for text in axes[1].get_legend().texts] == genes
    for line, gene in zip(axes[1].lines, genes, strict=False):
        np.testing.assert_allclose(line.get_xydata(), responders.loc[responders["gene"] == gene, ["dose", "change"]])
    own = plt.figure().add_subplot()
    assert not isinstance(dko.pl.dose_response(dosed, "gene_2", n_responders=0, show=False), list)
    assert dko.pl.dose_response(dosed, "gene_2", ax=own, show=False) is own
