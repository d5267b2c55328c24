from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.collections import LineCollection
from matplotlib.text import Text

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
    (ax,) = figure.axes
    (image,) = ax.images
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == [text.get_text() for text in ax.get_yticklabels()] and sorted(names) == GENES
    assert all(text.get_style() == "italic" for text in ax.get_xticklabels())
    expected = dko.get.interactions(four, matrix="z").loc[names, names]
    np.testing.assert_array_equal(image.get_array().filled(np.nan), expected)
    assert image.norm.vmin == -image.norm.vmax and 4 < image.norm.vmax <= 5
    starred = {frozenset(names[int(v)] for v in text.get_position()) for text in ax.texts}
    pairs = [frozenset(pair) for pair in combinations(GENES, 2)]
    assert starred == {pair for pair, kind in zip(pairs, KINDS, strict=True) if kind != "additive"}
    assert len(ax.texts) == 6
    assert "standard deviations" in ax.child_axes[-1].get_ylabel()


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


def test_a_network_without_lines_says_so():
    nothing = interacting(GENES, "additive", Z, group="CD4/CD8 T")
    ax = dko.pl.pairs(nothing, kind="network", group="CD4/CD8 T", show=False)
    assert ax.get_title() == "CD4/CD8 T: no pair interacts"
    assert len(ax.texts) == 4 and not sum(len(one.get_segments()) for one in ax.collections[:-1])


GREY = (0.65, 0.65, 0.65)


def mapped(n, n_modules, rng):
    """Perturbations on a map, as dko.tl.perturbation_modules leaves them: the first five have no effect."""
    module = np.array(["no effect"] * 5 + [str(1 + i % n_modules) for i in range(n - 5)], dtype=object)
    centre = np.where(module == "no effect", 0, module).astype(int)[:, None] * np.array([[3.0, -2.0]])
    place = centre + rng.normal(size=(n, 2))
    table = pd.DataFrame(
        {
            "perturbation": [f"GENE{i}" for i in range(n)],
            "module": module,
            "strength": rng.random(n),
            "is_unseen": np.arange(n) % 4 == 0,
            "umap_1": place[:, 0],
            "umap_2": place[:, 1],
        }
    )
    return AnnData(np.ones((1, 1), dtype=np.float32), uns={"dko_modules": {"table": table}})


@pytest.fixture
def map_of_30():
    return mapped(30, 3, np.random.default_rng(0))


def drawn(ax):
    """Places of points with their face, edge and area."""
    found = {}
    for points in ax.collections:
        faces = points.get_facecolors()
        for place, area in zip(points.get_offsets(), points.get_sizes(), strict=True):
            face = tuple(faces[0][:3].round(2)) if len(faces) else None
            found[tuple(np.round(place, 6))] = (face, tuple(points.get_edgecolors()[0][:3].round(2)), area)
    return found


def test_colours_sizes_and_hollow_points(map_of_30):
    ax = dko.pl.modules(map_of_30, show=False)
    points, table = drawn(ax), dko.get.modules(map_of_30)
    assert len(points) == len(table)
    rows = [points[tuple(np.round([row.umap_1, row.umap_2], 6))] for row in table.itertuples()]
    edges: dict[str, set] = {module: set() for module in table["module"]}
    for (_, edge, _), module in zip(rows, table["module"], strict=True):
        edges[module].add(edge)
    assert edges["no effect"] == {GREY} and all(len(colors) == 1 for colors in edges.values())
    assert len(set.union(*edges.values())) == 4
    assert [face is None for face, _, _ in rows] == table["is_unseen"].to_list()
    areas = np.array([area for _, _, area in rows])
    assert (np.argsort(areas) == np.argsort(table["strength"])).all()
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "module 1 (9)",
        "module 2 (8)",
        "module 3 (8)",
        "no effect (5)",
        "not trained on",
    ]


@pytest.mark.parametrize("n", [20, 100])
def test_names_cover_no_other_name(n):
    figure = dko.pl.modules(mapped(n, 5, np.random.default_rng(2)), return_fig=True)
    (ax,) = figure.axes
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"GENE{i}" for i in range(n))
    figure.draw_without_rendering()
    frame = ax.get_window_extent()
    # Of the letters alone, without the line to the point.
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    overlapping = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    # All have a place of their own on a map of twenty; on a full one, nearly all.
    assert overlapping <= (0 if n == 20 else 0.1 * n)
    assert all(frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1 for box in boxes)
