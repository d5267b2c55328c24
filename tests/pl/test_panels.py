from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import dko

# scanpy colours missing values in a way that matplotlib 3.11 announces to deprecate.

PLOTS = {
    "impact": lambda adata, **kwargs: dko.pl.impact(adata, adata.var_names[3], **kwargs),
    "fit": dko.pl.fit,
    "history": dko.pl.history,
    "ranking": dko.pl.ranking,
}


@pytest.fixture(params=PLOTS)
def plot(request):
    return PLOTS[request.param]


@pytest.fixture
def shown(monkeypatch):
    """Count calls of plt.show."""
    calls = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: calls.append(1))
    return calls


def test_show_false_returns_the_axes_in_an_open_figure(plot, scanned, shown):
    ax = plot(scanned, show=False)
    assert isinstance(ax, Axes)
    (number,) = plt.get_fignums()
    assert plt.figure(number) is ax.figure
    assert not shown


def test_return_fig_leaves_nothing_with_pyplot(plot, scanned, shown, tmp_path):
    figure = plot(scanned, return_fig=True)
    assert isinstance(figure, Figure)
    assert not plt.get_fignums()
    assert not shown
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


@pytest.fixture
def autoshow():
    """Set scanpy's autoshow, as a function, for one test."""
    before = sc.settings.autoshow
    yield lambda value: setattr(sc.settings, "autoshow", value)
    sc.settings.autoshow = before


@pytest.mark.parametrize("show", [None, True])
def test_a_new_figure_is_shown_once(plot, scanned, shown, autoshow, show):
    autoshow(True)
    assert plot(scanned, show=show) is None
    assert shown == [1]


def test_autoshow_off_hands_the_axes_back(plot, scanned, shown, autoshow):
    autoshow(False)
    assert isinstance(plot(scanned), Axes)
    assert not shown


def test_draws_in_the_axes_of_the_user(plot, scanned, shown):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(scanned, ax=left) is left
    assert left.has_data() and not right.has_data()
    assert plt.get_fignums() == [figure.number]
    assert not shown
    assert plot(scanned, ax=right, return_fig=True) is figure
    assert plt.get_fignums() == [figure.number], "the figure of the user stays open"


def test_only_reads(plot, scanned, unchanged):
    style = dict(plt.rcParams)
    with unchanged(scanned):
        plot(scanned, return_fig=True)
    assert dict(plt.rcParams) == style


# mudata 0.3 announces a change of what it copies from its modalities.
@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")
def test_takes_a_modality(plot, scanned):
    from mudata import MuData

    mdata = MuData({"expression": scanned})
    assert isinstance(plot(mdata, mod="expression", return_fig=True), Figure)


@pytest.mark.parametrize("name", PLOTS)
def test_says_what_to_run(name, cells):
    with pytest.raises(KeyError, match=r"run dko\.tl\.(fit|virtual_ko|scan)\(") as caught:
        PLOTS[name](cells)
    assert not plt.get_fignums()
    assert "'dko" in str(caught.value)
