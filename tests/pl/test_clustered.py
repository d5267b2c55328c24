from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from dko.pl._clustered import draw_clustered

ROWS, COLUMNS = [*"abcd"], [*"uvwxyz"]


@pytest.fixture
def blocks():
    """Rows a and c, and b and d, are alike but for their size; so are columns by turns."""
    kind = np.array([0, 1, 0, 1])
    base = np.array([[1.0, 0, 1, 0, 1, 0], [0, 1.0, 0, 1, 0, 1]])
    size = np.array([1.0, 1, 10, 20])[:, None]
    noise = 1e-3 * np.random.default_rng(0).random((4, 6))
    return pd.DataFrame((base[kind] + noise) * size, index=ROWS, columns=COLUMNS)


def draw(values, **kwargs):
    ax = plt.figure().add_subplot()
    return ax, draw_clustered(ax, values, label="unit", **{"signed": False, **kwargs})


def test_like_ones_side_by_side_whatever_their_size(blocks):
    ax, drawn = draw(blocks)
    rows, columns = "".join(drawn.index), "".join(drawn.columns)
    assert {"".join(sorted(rows[:2])), "".join(sorted(rows[2:]))} == {"ac", "bd"}
    assert {"".join(sorted(columns[:3])), "".join(sorted(columns[3:]))} == {"uwy", "vxz"}
    pd.testing.assert_frame_equal(drawn, blocks.loc[list(rows), list(columns)])
    np.testing.assert_array_equal(ax.images[0].get_array(), drawn)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(columns)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(rows)
    assert ax.child_axes[-1].get_ylabel() == "unit"


def test_the_leaves_of_the_trees_stand_at_rows_and_columns(blocks):
    ax, _ = draw(blocks)
    above, beside = ax.child_axes[:2]
    for panel, n, side in ((above, 6, 0), (beside, 4, 1)):
        (lines,) = [one for one in panel.collections if isinstance(one, LineCollection)]
        segments = np.concatenate(lines.get_segments())
        at_leaves = segments[segments[:, 1 - side] == 0, side]
        assert sorted(at_leaves) == list(range(n))
    assert above.get_xlim() == ax.get_xlim() and beside.get_ylim() == ax.get_ylim()


def test_without_trees_all_stays_where_it_is(blocks):
    ax, drawn = draw(blocks, trees=False)
    pd.testing.assert_frame_equal(drawn, blocks)
    assert len(ax.child_axes) == 1, "the colour bar"


@pytest.mark.parametrize(("signed", "name", "low"), [(False, "viridis", 0.0), (True, "RdBu_r", -1.0)])
def test_colours_from_or_around_0(signed, name, low):
    values = pd.DataFrame(np.eye(3), index=[*"abc"], columns=[*"xyz"])
    ax, _ = draw(values, signed=signed)
    (image,) = ax.images
    assert (image.get_cmap().name, image.norm.vmin, image.norm.vmax) == (name, low, 1.0)


def test_few_large_values_do_not_set_the_scale_and_the_bar_says_so():
    values = pd.DataFrame(np.ones((10, 10)))
    values.iloc[0, 0] = 1000.0
    ax, _ = draw(values, trees=False)
    assert ax.images[0].norm.vmax == 1.0
    assert ax.images[0].colorbar.extend == "max"
    ax, _ = draw(values, trees=False, vmax=2000)
    assert ax.images[0].norm.vmax == 2000 and ax.images[0].colorbar.extend == "neither"


def test_missing_values_and_a_norm_of_the_user(blocks):
    from matplotlib.colors import LogNorm

    blocks.loc["a", "u"] = np.nan
    ax, drawn = draw(blocks, norm=LogNorm(1e-4, 20), cmap="cividis")
    assert np.ma.getmaskarray(ax.images[0].get_array()).sum() == 1
    assert isinstance(ax.images[0].norm, LogNorm) and ax.images[0].get_cmap().name == "cividis"
    assert ax.get_facecolor() == (0.85, 0.85, 0.85, 1.0)
    assert drawn.isna().to_numpy().sum() == 1


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 2)])
def test_too_few_for_a_tree_and_nothing_but_zeros(shape):
    ax, drawn = draw(pd.DataFrame(np.zeros(shape)), signed=True)
    assert drawn.shape == shape
    assert len(ax.child_axes) == 1 + sum(n >= 3 for n in shape)
