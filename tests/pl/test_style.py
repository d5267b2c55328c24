"""One style: plots look the same whatever has been set, users' axes can have it, and nothing is set afterwards."""

from __future__ import annotations

import threading

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import scanpy as sc
from matplotlib.colors import to_hex

import dko

from .test_images import PLOTS


def looks(figure):
    """Fonts, sizes and colours of all texts, and the colours behind the axes."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text()]
    found = {(text.get_text(), text.get_fontsize(), text.get_fontname(), text.get_color()) for text in texts}
    return found, [to_hex(ax.get_facecolor()) for ax in figure.axes], tuple(figure.get_size_inches())


@pytest.fixture
def set_by_others():
    """What scanpy and a dark notebook set, which would make names collide and white halos show."""
    before = dict(mpl.rcParams)
    with plt.rc_context():
        sc.set_figure_params(fontsize=22, figsize=plt.rcParams["figure.figsize"])
        mpl.rcParams.update(
            {"axes.facecolor": "black", "text.color": "white", "axes.prop_cycle": plt.cycler(color="r")}
        )
        yield
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["ranking_intervals", "waterfall", "modules", "heatmap_dots"])
def test_plots_do_not_depend_on_what_is_set_and_set_nothing(name, pictured, set_by_others):
    there = dict(mpl.rcParams)
    drawn = PLOTS[name](pictured)
    assert dict(mpl.rcParams) == there
    with plt.rc_context():
        mpl.rcdefaults()
        plain = PLOTS[name](pictured)
    assert looks(drawn) == looks(plain)


def test_axes_of_users_have_the_style_inside_a_block_alone():
    before = dict(mpl.rcParams)
    with dko.pl.style({"font.size": 7}):
        assert mpl.rcParams["font.size"] == 7 and mpl.rcParams["pdf.fonttype"] == 42
        ax = plt.figure().add_subplot()
        (line,) = ax.plot([0, 1])
    assert line.get_color() == "#0072B2" and dict(mpl.rcParams) == before
    with pytest.raises(KeyError, match="font.sise"), dko.pl.style({"font.sise": 7}):
        pass
    assert dict(mpl.rcParams) == before


def test_blocks_of_several_threads_leave_nothing_set():
    before, ending = dict(mpl.rcParams), [threading.Event() for _ in range(3)]

    def draw(number):
        with dko.pl.style({"font.size": 5 + number}):
            begun.release()
            assert ending[number].wait(10)

    begun = threading.Semaphore(0)
    threads = [threading.Thread(target=draw, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
        assert begun.acquire(timeout=10)
    for thread, event in zip(threads, ending, strict=True):  # the first to begin ends first
        event.set()
        thread.join()
    assert dict(mpl.rcParams) == before


def test_a_style_is_a_decorator_and_ends_with_errors():
    before, sizes = dict(mpl.rcParams), list[float]()

    @dko.pl.style({"font.size": 7})
    def fail():
        with dko.pl.style({"font.size": 5}):
            sizes.append(mpl.rcParams["font.size"])
        sizes.append(mpl.rcParams["font.size"])
        raise OSError("no file")

    for _ in range(2):
        with pytest.raises(OSError, match="no file"):
            fail()
    assert sizes == [5, 7, 5, 7] and dict(mpl.rcParams) == before


def test_a_block_changes_the_plots_in_it(pictured):
    sizes = {}
    for size in (7, 10):
        with dko.pl.style({"font.size": size}):
            figure = dko.pl.history(pictured, return_fig=True)
        sizes[size] = figure.axes[0].xaxis.label.get_fontsize()
    assert sizes == {7: 7, 10: 10}
    with plt.rc_context({"font.size": 13, "axes.facecolor": "lightyellow"}), dko.pl.style(mpl.rcParams):
        (ax,) = dko.pl.history(pictured, return_fig=True).axes
    assert ax.xaxis.label.get_fontsize() == 13 and to_hex(ax.get_facecolor()) == to_hex("lightyellow")


def test_text_is_text_in_vector_files_and_very_many_points_are_pixels(pictured, tmp_path, monkeypatch):
    path = tmp_path / "cells.svg"
    dko.pl.impact(pictured, "gene_3", return_fig=True).savefig(path)
    few = path.read_text()
    assert ">UMAP1</text>" in few
    monkeypatch.setattr("dko.pl._style._MOST_VECTORS", 20)
    dko.pl.impact(pictured, "gene_3", return_fig=True).savefig(path)
    many = path.read_text()
    assert many.count("<use ") < few.count("<use ") - 20 and many.count("<image ") > few.count("<image ")
    with plt.rc_context({"pdf.compression": 0}):
        dko.pl.history(pictured, return_fig=True).savefig(tmp_path / "history.pdf")
    assert b"/CIDFontType2" in (tmp_path / "history.pdf").read_bytes(), "fonts that programs can edit"


def test_a_backend_that_the_first_figure_loads_stays_interactive():
    before = mpl.is_interactive()
    try:
        for now in (True, False):
            with dko.pl.style():
                mpl.interactive(now)  # as the backend of notebooks does, which shows no later figure without it
            assert mpl.is_interactive() is now
    finally:
        mpl.interactive(before)
