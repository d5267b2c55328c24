from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import dko

SLASH = "HSPA1A/B"


@pytest.fixture(scope="module")
def _knocked_out(_fitted):
    return dko.tl.virtual_ko(_fitted, [SLASH, ("gene_4", "gene_3")], copy=True)


@pytest.fixture
def knocked_out(_knocked_out):
    return _knocked_out.copy()


def shown(ax):
    """Genes from the top down, and the places of dots before and after."""
    _, before, after = ax.collections
    genes = [label.get_text() for label in ax.get_yticklabels()]
    return genes, np.asarray(before.get_offsets()), np.asarray(after.get_offsets())


def naive(adata, label, cells, dense):
    """Mean shares of all other genes in cells that express the gene, cell by cell."""
    others = ~np.isin(adata.var_names, label.split("+"))
    profiles = (
        dense(dko.get.profiles(adata).layers["before"]),
        dense(adata.layers[f"dko_ko_{label.replace('/', '%2F')}"]),
    )
    rows = cells & dko.get.impact(adata, label)[label].notna().to_numpy()
    means = []
    for values in profiles:
        of_others = values[rows][:, others]
        means.append(np.mean([row / row.sum() for row in of_others], axis=0))
    return dict(zip(adata.var_names[others], zip(*means, strict=True), strict=True)), int(rows.sum())


@pytest.mark.parametrize(("label", "groups"), [(SLASH, None), ("gene_3+gene_4", {"cell_type": "CD4/CD8 T"})])
def test_means_before_and_after_of_the_genes_that_change_most(knocked_out, label, groups, dense):
    ax, beside = dko.pl.profile(knocked_out, label, groups=groups, n_genes=6, show=False)
    cells = np.ones(80, dtype=bool) if groups is None else (knocked_out.obs["cell_type"] == "CD4/CD8 T").to_numpy()
    means, n_cells = naive(knocked_out, label, cells, dense)
    assert ax.get_title() == f"{label} ({n_cells} cells)"
    genes, before, after = shown(ax)
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


def test_two_panels_per_knockout_and_one_in_axes_of_the_user(knocked_out):
    axes = dko.pl.profile(knocked_out, [SLASH, "gene_4+gene_3"], show=False)
    assert [ax.get_title().split(" (")[0] for ax in axes] == [SLASH, "", "gene_3+gene_4", ""]
    own = plt.figure().add_subplot()
    assert dko.pl.profile(knocked_out, SLASH, ax=own, show=False) is own
    assert own.get_legend() is not None and len(own.figure.axes) == 1
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per knockout"):
        dko.pl.profile(knocked_out, [SLASH, "gene_3+gene_4"], ax=own)


def test_all_genes_where_fewer_change(knocked_out):
    ax, _ = dko.pl.profile(knocked_out, SLASH, n_genes=1_000, show=False)
    genes, before, _ = shown(ax)
    assert len(genes) == 19 and SLASH not in genes and (before[:, 0] > 0).all()


def test_a_gene_whose_name_has_a_plus(cells, quick):
    cells.var_names = ["HLA+1", *cells.var_names[1:]]
    dko.tl.fit(cells, **quick)
    dko.tl.virtual_ko(cells, "HLA+1")
    ax, _ = dko.pl.profile(cells, "HLA+1", n_genes=1_000, show=False)
    genes, _, _ = shown(ax)
    assert ax.get_title().startswith("HLA+1 (") and sorted(genes) == sorted(cells.var_names[1:])


def test_a_modality_with_total_effects_is_only_read(cells, unchanged):
    from mudata import MuData

    from dko._compat import modalities_apart

    dko.tl.fit(cells, effects="total", max_epochs=1, progress=False, key_added="other")
    dko.tl.virtual_ko(cells, "gene_3", groups={"cell_type": "B"}, key="other")
    with modalities_apart():
        data = MuData({"expression": cells})
    with unchanged(cells):
        figure = dko.pl.profile(data, "gene_3", key="other", mod="expression", return_fig=True)
    n_cells = int(dko.get.impact(cells, "gene_3", key="other")["gene_3"].notna().sum())
    assert figure.axes[0].get_title() == f"gene_3 ({n_cells} cells)" and 0 < n_cells <= 40


def test_refusals_are_one_sentence_and_leave_no_figure(fitted, knocked_out, perturbations):
    with pytest.raises(KeyError, match=r"No knockout 'gene_3' in .* Run dko.tl.virtual_ko\(adata, ..., key='dko'\)"):
        dko.pl.profile(fitted, "gene_3")
    with pytest.raises(KeyError, match="No group 'T' in"):
        dko.pl.profile(knocked_out, SLASH, groups={"cell_type": "T"})
    with pytest.raises(ValueError, match="No such cell expresses 'HSPA1A/B'"):
        dko.pl.profile(knocked_out, SLASH, groups=np.zeros(80, dtype=bool))
    with pytest.raises(ValueError, match="n_genes=0 must be at least 1"):
        dko.pl.profile(knocked_out, SLASH, n_genes=0)
    with pytest.raises(ValueError, match="sccvae"):
        dko.pl.profile(perturbations, "gene_3")
    assert not plt.get_fignums()
