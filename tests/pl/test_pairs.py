from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.collections import LineCollection

import dko


def interacting(genes, kinds, z, group=None):
    """Pairs of genes as dko.tl.interactions leaves them."""
    table = pd.DataFrame(list(combinations(genes, 2)), columns=["gene_a", "gene_b"])
    table["downstream_a"] = table["gene_a"].map({gene: 0.01 * (1 + i) for i, gene in enumerate(genes)})
    table["downstream_b"] = table["gene_b"].map({gene: 0.01 * (1 + i) for i, gene in enumerate(genes)})
    table["z"], table["interaction"], table["class"] = z, -0.01, kinds
    table["class"] = table["class"].astype("category")
    if group:
        table["group"] = pd.Categorical([group] * len(table))
    return AnnData(np.ones((1, 1), dtype=np.float32), uns={"dko_interactions": {"table": table}})


GENES = ["A/1", "B", "C", "D"]
KINDS = ["synergy", "additive", "buffering", "additive", "epistasis", "additive"]
Z = [4.0, 0.5, -5.0, -0.5, 3.0, 0.0]


@pytest.fixture
def four():
    return interacting(GENES, KINDS, Z)


def test_matrix_has_every_pair_twice_and_stars_where_pairs_interact(four):
    figure = dko.pl.pairs(four, return_fig=True)
    ax, bar = figure.axes
    (image,) = ax.images
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == [text.get_text() for text in ax.get_yticklabels()] and sorted(names) == GENES
    assert all(text.get_style() == "italic" for text in ax.get_xticklabels())
    expected = dko.get.interactions(four, matrix="z").loc[names, names]
    np.testing.assert_array_equal(image.get_array().filled(np.nan), expected)
    assert image.norm.vmin == -5 and image.norm.vmax == 5
    starred = {frozenset(names[int(v)] for v in text.get_position()) for text in ax.texts}
    pairs = [frozenset(pair) for pair in combinations(GENES, 2)]
    assert starred == {pair for pair, kind in zip(pairs, KINDS, strict=True) if kind != "additive"}
    assert len(ax.texts) == 6
    assert "standard deviations" in bar.get_ylabel()


def test_genes_that_interact_alike_stand_side_by_side():
    genes = [*"abcdef"]
    z = [4.0 if (ord(a) - ord(b)) % 2 == 0 else -4.0 for a, b in combinations(genes, 2)]
    ax = dko.pl.pairs(interacting(genes, "additive", z), show=False)
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert {"".join(sorted(names[:3])), "".join(sorted(names[3:]))} == {"ace", "bdf"}


def test_a_matrix_of_nothing_below_0_is_no_matrix_of_distances():
    """Which scipy warns of."""
    dko.pl.pairs(interacting([*"abcd"], "additive", np.arange(1.0, 7.0)), show=False)


def test_other_values_and_keywords(four):
    ax = dko.pl.pairs(four, value="interaction", cmap="RdBu_r", vmax=1, show=False)
    assert ax.images[0].get_cmap().name == "RdBu_r" and ax.images[0].norm.vmax == 1
    assert "beyond both alone" in ax.figure.axes[1].get_ylabel()


def test_network_has_a_line_per_pair_that_interacts(four):
    ax = dko.pl.pairs(four, kind="network", show=False)
    (nodes,) = [one for one in ax.collections if not isinstance(one, LineCollection)]
    places = dict(zip(GENES, map(tuple, nodes.get_offsets()), strict=True))
    assert (np.diff(nodes.get_sizes()) > 0).all()
    drawn = {}
    for lines in (one for one in ax.collections if isinstance(one, LineCollection)):
        for segment, width in zip(lines.get_segments(), np.atleast_1d(lines.get_linewidth()), strict=True):
            drawn[frozenset(map(tuple, segment))] = (width, tuple(np.array(lines.get_colors())[0]))
    expected = {frozenset((places[a], places[b])) for a, b in (("A/1", "B"), ("A/1", "D"), ("B", "D"))}
    assert set(drawn) == expected
    widths = [drawn[frozenset((places[a], places[b]))][0] for a, b in (("B", "D"), ("A/1", "B"), ("A/1", "D"))]
    assert widths == sorted(widths) and widths[0] < widths[2]
    assert len({color for _, color in drawn.values()}) == 3
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels == [
        "synergy (1)",
        "buffering (1)",
        "epistasis (1)",
        "downstream impact 0.04",
        "downstream impact 0.01",
    ]
    assert sorted(text.get_text() for text in ax.texts) == GENES


def test_genes_that_do_more_together_are_nearer(four):
    def places():
        (nodes,) = [
            one
            for one in dko.pl.pairs(four, kind="network", show=False).collections
            if not isinstance(one, LineCollection)
        ]
        return np.array(nodes.get_offsets())

    first = places()
    assert np.linalg.norm(first[0] - first[1]) < np.linalg.norm(first[0] - first[3])
    np.testing.assert_array_equal(first, places())


def test_a_network_without_lines_says_so():
    nothing = interacting(GENES, "additive", Z, group="CD4/CD8 T")
    ax = dko.pl.pairs(nothing, kind="network", group="CD4/CD8 T", show=False)
    assert ax.get_title() == "CD4/CD8 T: no pair interacts"
    assert len(ax.texts) == 4 and not sum(len(one.get_segments()) for one in ax.collections[:-1])


@pytest.mark.parametrize("kind", ["matrix", "network"])
def test_axes_of_the_user_and_two_genes(kind):
    two = interacting(["A", "B"], ["synergy"], [3.0])
    own = plt.figure().add_subplot()
    assert dko.pl.pairs(two, kind=kind, ax=own, show=False) is own
    assert own.collections or own.images


def test_refusals(four, fitted):
    with pytest.raises(KeyError, match="No interactions"):
        dko.pl.pairs(fitted)
    with pytest.raises(ValueError, match="kind='graph' must be one of 'matrix', 'network'"):
        dko.pl.pairs(four, kind="graph")
    assert not plt.get_fignums()
