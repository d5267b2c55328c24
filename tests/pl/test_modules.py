from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.text import Text

import dko

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


def test_more_modules_than_colours_have_shapes():
    adata = mapped(60, 9, np.random.default_rng(1))
    ax = dko.pl.modules(adata, names=False, show=False)
    handles = ax.get_legend().legend_handles
    assert len({(handle.get_markeredgecolor(), handle.get_marker()) for handle in handles}) == len(handles)
    assert not ax.texts


@pytest.mark.parametrize("n", [20, 60, 100])
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


def test_of_very_many_the_strongest_of_each_module_are_named():
    adata = mapped(400, 8, np.random.default_rng(3))
    ax = dko.pl.modules(adata, show=False)
    table = dko.get.modules(adata).set_index("perturbation")
    named = [text.get_text() for text in ax.texts]
    assert len(named) == len(set(named)) == 8 * 12
    for module, part in table.groupby("module"):
        top = part["strength"].nlargest(12).index
        assert set(named) & set(part.index) == (set() if module == "no effect" else set(top))


def test_axes_of_the_user(map_of_30):
    own = plt.figure().add_subplot()
    assert dko.pl.modules(map_of_30, ax=own, show=False) is own


def test_refusals(fitted):
    with pytest.raises(KeyError, match="No modules"):
        dko.pl.modules(fitted)
    assert not plt.get_fignums()
