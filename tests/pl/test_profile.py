from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

import dko

from ..conftest import copy_of

SLASH = "HSPA1A/B"


@pytest.fixture(scope="module")
def _knocked_out(_fitted):
    return dko.tl.virtual_ko(_fitted, [SLASH, ("gene_4", "gene_3")], copy=True)


knocked_out = copy_of("knocked_out")


def levels(ax):
    """Genes from the top down, and the places of dots before and after."""
    _, before, after = ax.collections
    genes = [label.get_text() for label in ax.get_yticklabels()]
    return genes, np.asarray(before.get_offsets()), np.asarray(after.get_offsets())


def naive(adata, label, before, after):
    """Mean shares of all other genes, cell by cell."""
    others = ~np.isin(adata.var_names, label.split("+"))
    means = [np.mean([row / row.sum() for row in values[:, others]], axis=0) for values in (before, after)]
    return dict(zip(adata.var_names[others], zip(*means, strict=True), strict=True))


@pytest.mark.parametrize(("label", "groups"), [(SLASH, None), ("gene_3+gene_4", {"cell_type": "CD4/CD8 T"})])
def test_means_before_and_after_of_the_genes_that_change_most(knocked_out, label, groups, dense):
    ax, beside = dko.pl.profile(knocked_out, label, groups=groups, n_genes=6, show=False)
    cells = np.ones(80, dtype=bool) if groups is None else (knocked_out.obs["cell_type"] == "CD4/CD8 T").to_numpy()
    cells = cells & dko.get.impact(knocked_out, label)[label].notna().to_numpy()
    before = dense(dko.get.profiles(knocked_out).layers["before"])[cells]
    after = dense(knocked_out.layers[f"dko_ko_{label.replace('/', '%2F')}"])[cells]
    means = naive(knocked_out, label, before, after)
    assert ax.get_title() == f"{label} ({cells.sum()} cells)"
    genes, before, after = levels(ax)
    change = {gene: np.log1p(1e4 * b) - np.log1p(1e4 * a) for gene, (a, b) in means.items()}
    most = sorted(change, key=lambda gene: -abs(change[gene]))[:6]
    assert genes == sorted(most, key=lambda gene: -change[gene])
    np.testing.assert_allclose(np.column_stack([before[:, 0], after[:, 0]]), [means[gene] for gene in genes], rtol=1e-4)
    np.testing.assert_array_equal(before[:, 1], range(6))
    widths = [bar.get_width() for bar in beside.patches]
    np.testing.assert_allclose(widths, [100 * (means[g][1] / means[g][0] - 1) for g in genes], rtol=1e-2, atol=1e-3)
    colors = [to_hex(bar.get_facecolor()).upper() for bar in beside.patches]
    assert colors == ["#0072B2" if change[gene] < 0 else "#D55E00" for gene in genes]
    for panel in (ax, beside):
        bottom, top = panel.get_ylim()
        assert bottom > top, "what rises most is on top"
    assert ax.get_xscale() == "log"


def test_knockouts_beside_each_other_have_one_scale_that_holds_all_of_them(knocked_out):
    axes = dko.pl.profile(knocked_out, [SLASH, "gene_3+gene_4"], n_genes=6, show=False)
    for pair in (axes[::2], axes[1::2]):
        ((left, right),) = {ax.get_xlim() for ax in pair}
        for ax in pair:
            ends = [ax.dataLim.x0, ax.dataLim.x1]
            assert left <= min(ends) and max(ends) <= right


def test_a_model_that_predicts_log_expression(perturbations, dense):
    dko.tl.virtual_ko(perturbations, "gene_3")
    ax, _ = dko.pl.profile(perturbations, "gene_3", n_genes=5, show=False)
    genes, before, after = levels(ax)
    control = perturbations[perturbations.obs["knockout"] == "control"]
    means = naive(control, "gene_3", dense(control.X), np.expm1(dense(control.layers["dko_ko_gene_3"])))
    np.testing.assert_allclose(np.column_stack([before[:, 0], after[:, 0]]), [means[gene] for gene in genes], rtol=1e-4)


@pytest.mark.parametrize("spread", [0.9, 1.0, 2.0, 5.0])
def test_shares_can_be_read_whatever_their_range(spread, knocked_out):
    layer = knocked_out.layers[f"dko_ko_{SLASH.replace('/', '%2F')}"]
    layer.data[:] = layer.data**spread
    figure = dko.pl.profile(knocked_out, SLASH, return_fig=True)
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    ticks = [tick for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()] if low <= tick.get_loc() <= high]
    ticks = sorted((one for one in ticks if one.label1.get_text()), key=lambda tick: tick.get_loc())
    boxes = [one.label1.get_window_extent() for one in ticks]
    assert boxes
    assert not any(one.overlaps(other) for one, other in zip(boxes, boxes[1:], strict=False))
