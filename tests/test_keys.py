from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dko._core import keys


@given(st.text())
@example("%2F/%25/")
@example("%252F")
@example("..")
@example("zarr.json")
@example("_index")
@example("A\\B")
@example(" \0 ")
def test_escaped_names_have_no_slash_and_come_back(name):
    escaped = keys.escape(name)
    assert not set(escaped) & {"/", "\\", *map(chr, range(32))} and escaped.strip(" .") == escaped.strip(".")
    assert escaped not in {".", "..", "_index", "zarr.json"} and not escaped.startswith(("__", ".z"))
    assert keys.unescape(keys.escape(name)) == name


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_different_names_stay_different(names):
    assert len(set(map(keys.escape, names))) == 2


def test_ordinary_names_stay_as_they_are():
    assert keys.escape("HLA-DRB1.2 (x)+b") == "HLA-DRB1.2 (x)+b"


def test_places():
    assert keys.split("dko") == "dko_split"
    assert keys.fit_error("dko") == "dko_fit_error"
    assert keys.impact("dko") == "dko_impact"
    assert keys.impact_mean("dko") == "dko_impact_mean"
    assert keys.ko_layer("dko", "A/B+C") == "dko_ko_A%2FB+C"
    assert keys.label(["b", "a"]) == "a+b"
