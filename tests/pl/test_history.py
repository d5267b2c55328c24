from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko

LOSSES = pd.DataFrame(
    {
        "step": [3, 6, 9, 12],
        "epoch": [1, 2, 3, 4],
        "train_loss": [0.5, 0.4, 0.3, 0.2],
        "validation_loss": [0.6, 0.5, 0.35, 0.4],
    }
)


@pytest.fixture
def fitted(fitted):
    """A fit whose third validation was the best."""
    fitted.uns["dko"]["history"] = LOSSES.copy()
    return fitted


@pytest.fixture
def grouped(grouped):
    """Two fits, the second of them best at its second validation."""
    other = LOSSES.assign(validation_loss=[0.55, 0.3, 0.33, 0.38])
    table = pd.concat({"B": LOSSES, "CD4/CD8 T": other}, names=["group"]).reset_index(level="group")
    grouped.uns["dko"]["history"] = table.reset_index(drop=True).astype({"group": "category"})
    return grouped


def curves(ax, kind):
    return [line.get_xydata() for line in ax.lines if line.get_label() == kind]


def test_both_losses_and_the_best_point(fitted):
    table = dko.get.history(fitted)
    ax = dko.pl.history(fitted, show=False)
    np.testing.assert_array_equal(curves(ax, "_training"), [table[["epoch", "train_loss"]]])
    np.testing.assert_array_equal(curves(ax, "_validation"), [table[["epoch", "validation_loss"]]])
    (marked,) = (line for line in ax.lines if not line.get_label().startswith("_"))
    np.testing.assert_array_equal(marked.get_xydata(), [[3, 0.35]])
    assert marked.get_label() == "best: 0.350 at epoch 3"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (Bray-Curtis, 0 to 1)")
    assert [text.get_text() for text in ax.get_legend().texts] == ["training", "validation", marked.get_label()]


def test_steps_where_there_are_several_validations_per_pass(cells):
    dko.tl.fit(cells, preset="paper", max_steps=9, progress=False)
    ax = dko.pl.history(cells, show=False)
    assert ax.get_xlabel() == "step"
    np.testing.assert_array_equal(curves(ax, "_validation")[0][:, 0], np.arange(1, 10))


def test_a_colour_per_group(grouped):
    figure = dko.pl.history(grouped, return_fig=True)
    (ax,) = figure.axes
    marked = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in marked] == ["B", "CD4/CD8 T"]
    assert len({line.get_color() for line in marked}) == 2
    assert [tuple(line.get_xydata()[0]) for line in marked] == [(3, 0.35), (2, 0.3)]
    validation = [line for line in ax.lines if line.get_label() == "_validation"]
    assert [line.get_color() for line in marked] == [line.get_color() for line in validation]
    figure.draw_without_rendering()
    legend, inner = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert inner.x1 <= legend.x0 and legend.x1 <= figure.bbox.x1, "beside the axes, and not cut off"


def test_members_are_named(grouped):
    history = grouped.uns["dko"]["history"].rename(columns={"group": "member"})
    grouped.uns["dko"]["history"] = history.assign(member=history["member"].cat.rename_categories(["1", "2"]))
    ax = dko.pl.history(grouped, show=False)
    assert [line.get_label() for line in ax.lines if not line.get_label().startswith("_")] == ["member 1", "member 2"]


def test_groups_beyond_the_number_of_colours_can_be_told_apart(cells):
    cells.obs["many"] = [str(number % 10) for number in range(cells.n_obs)]
    dko.tl.fit(cells, groupby="many", max_epochs=2, progress=False)
    ax = dko.pl.history(cells, show=False)
    looks = {(line.get_color(), line.get_marker()) for line in ax.lines if not line.get_label().startswith("_")}
    assert len(looks) == 10
