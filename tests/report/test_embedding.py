"""Cells on a page that can be pointed at: what it holds, that names are safe, and that it works in a browser."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest

import dko

from .conftest import HOSTILE, Page


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Write the page of cells, as a function; returns its text and its data."""

    def write(adata, **how):
        path = tmp_path_factory.mktemp("cells") / "cells.html"
        dko.io.write_embedding(adata, path, **how)
        html = path.read_text(encoding="utf-8")
        (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
        return html, json.loads(data)

    return write


def test_an_embedding_without_places_is_refused(complete, tmp_path):
    complete.obsm["X_umap"][:] = np.nan
    with pytest.raises(ValueError, match="No cell has a place in obsm\\['umap'\\]"):
        dko.io.write_embedding(complete, tmp_path / "cells.html")
    with pytest.raises(ValueError, match="there are no cells"):
        dko.io.write_embedding(complete[:0].copy(), tmp_path / "cells.html")
    assert not list(tmp_path.iterdir())


def test_infinite_impacts_are_refused(complete, tmp_path):
    complete.layers["dko_impact"].data[:] = np.inf
    with pytest.raises(ValueError, match="Some of these impacts are infinite"):
        dko.io.write_embedding(complete, tmp_path / "cells.html", genes=["gene_3"])
    assert not list(tmp_path.iterdir())


def test_every_cell_with_its_place_group_and_impacts(complete, written, unchanged):
    complete.obsm["X_umap"][5] = np.nan
    complete.uns["cell_type_colors"] = ["tab:blue", "0.5"]
    with unchanged(complete):
        _, data = written(complete, genes=["gene_3", HOSTILE], downstream=True)
    there = np.arange(80) != 5
    assert data["name"] == list(complete.obs_names[there]) and data["labels"] == ["gene_3", HOSTILE]
    places = complete.obsm["X_umap"][there]
    expected = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    np.testing.assert_allclose(np.array([data["x"], data["y"]]).T, expected, atol=1e-4)
    assert [data["groups"][group] for group in data["group"]] == list(complete.obs["cell_type"][there])
    assert data["colors"] == ["#1f77b4", "#808080"]
    impacts = dko.get.impact(complete, ["gene_3", HOSTILE], downstream=True)[there]
    np.testing.assert_allclose(np.array(data["values"], dtype=float).T, impacts, atol=1e-5)
    assert data["what"].startswith("downstream impact") and data["grey"] == "gene not expressed"


def test_very_many_cells_are_a_sample_and_the_page_says_so(complete, written, monkeypatch):
    monkeypatch.setattr("dko.report._embedding._MOST_CELLS", 30)
    html, data = written(complete, genes="gene_3")
    assert len(set(data["name"])) == len(data["x"]) == len(data["values"][0]) == 30
    assert "30 of 80 cells, at random in the embedding umap" in html


def test_named_knockouts_are_shown_or_else_the_first_genes_of_each_group(complete, written):
    named = list(complete.uns["dko"]["knockouts"]["label"])
    assert written(complete)[1]["labels"] == named
    del complete.uns["dko"]["knockouts"]
    table = dko.get.ranking(complete, groupby="cell_type", key_added="by_type")
    first = list(table.groupby("group", observed=True)["gene"].first())
    shown = written(complete, groupby="cell_type")[1]["labels"]
    assert shown[: len(set(first))] == list(dict.fromkeys(first)) and len(shown) == len(set(shown)) == 10
    del complete.layers["dko_impact"], complete.obsm["dko_impact"]
    with pytest.raises(KeyError, match=r"run dko\.tl\.virtual_ko"):
        written(complete)


def test_cells_that_an_sccvae_does_not_predict_are_said_to_be_no_control_cells(screened, written):
    _, data = written(screened, key="screen", basis="pca")
    assert data["grey"] == "no control cell" and data["labels"] == ["gene_2"]
    missing = np.array([value is None for value in data["values"][0]])
    assert (missing == (screened.obs["knockout"] != "control").to_numpy()).all()
    figure = dko.pl.impact(screened, "gene_2", basis="pca", key="screen", return_fig=True)
    assert figure.axes[-1].get_ylabel().endswith("grey: no control cell")


@pytest.fixture
def screened(screen):
    from ..conftest import SCREEN, SMALL_SCCVAE

    dko.tl.fit(screen, key_added="screen", **SCREEN, **SMALL_SCCVAE, n_members=1)
    dko.tl.virtual_ko(screen, "gene_2", key="screen")
    screen.obsm["X_pca"] = np.random.default_rng(0).normal(size=(screen.n_obs, 2))
    return screen


def test_names_are_never_html_and_nothing_is_loaded(complete, written):
    complete.obs_names = [HOSTILE, "</script>&amp;", *complete.obs_names[2:]]
    html, data = written(complete, genes=HOSTILE, title=HOSTILE)
    assert data["name"][:2] == [HOSTILE, "</script>&amp;"] and data["groups"][0] in (HOSTILE, "CD4/CD8 T")
    assert HOSTILE not in html and html.count("</script>") == 2
    page = Page(html)
    assert HOSTILE in "".join(attrs.get("aria-label", "") for attrs in page.named("canvas"))
    for tag, attrs in page.tags:
        assert not {"src", "href", "data", "action", "srcset"} & set(attrs), tag
    (policy,) = [meta["content"] for meta in page.named("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:;") and "innerHTML" not in html


# Points at the first cell, chooses a knockout, shows one group alone, zooms, and points at nothing.
ACTIONS = """
<script>
{
const said = [];
const point = (x, y) => {
  const box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + y }));
  said.push(tip.hidden ? "nothing" : tip.innerText);
};
const color = (x, y) => {
  const ratio = window.devicePixelRatio;
  const [red, green, blue] = paint.getImageData(ratio * x, ratio * y, 1, 1).data;
  said.push(`${red},${green},${blue}`);
};
alone = data.group[0];
draw();
point(...place(0));
color(...place(0));
alone = null;
const largest = data.values.map((values) => Math.max(...values));
const first = largest.indexOf(Math.max(...largest));
choice.value = String(first);
choice.dispatchEvent(new Event("change"));
const most = data.values[first].indexOf(largest[first]);
color(...place(most));
const before = place(most);
document.querySelector("[data-zoom]").click();
said.push(String(place(most)[0] !== before[0] && view.zoom > 1));
point(-500, -500);
document.querySelector("[data-zoom='0']").click();
canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
said.push(tip.innerText.split("\\n")[0]);
said.push(String(document.documentElement.scrollWidth <= window.innerWidth));
const report = document.createElement("output");
report.textContent = JSON.stringify(said);
document.body.append(report);
}
</script>
"""


@pytest.mark.slow
def test_a_cell_that_is_pointed_at_says_what_it_is(complete, written, browser, tmp_path):
    complete.uns["cell_type_colors"] = ["#102030", "#405060"]
    complete.obs["cell_type"] = complete.obs["cell_type"].cat.rename_categories({"CD4/CD8 T": "T" * 3000})
    html, data = written(complete, genes=["gene_3", HOSTILE])
    path = tmp_path / "cells.html"
    path.write_text(html.replace("</body>", f"{ACTIONS}</body>"), encoding="utf-8")
    (said,) = re.findall(r"<output>(.*?)</output>", browser(tmp_path, "--dump-dom", path.as_uri()), re.DOTALL)
    tip, color, largest, zoomed, nothing, next_cell, fits = json.loads(unescape(said))
    described = [data["name"][0], data["groups"][data["group"][0]]]
    for label, (value, *_) in zip(data["labels"], data["values"], strict=True):
        described.append(f"{label}: {'gene not expressed' if value is None else f'{value:#.3g}'}")
    assert tip.split("\n") == described
    assert color == ("16,32,48", "64,80,96")[data["group"][0]]
    assert largest == "253,231,37", "the last colour of viridis"
    assert (zoomed, nothing, fits) == ("true", "nothing", "true")
    impacts = np.array(data["values"], dtype=float)
    most = impacts[np.nanargmax(np.nanmax(impacts, axis=1))]
    assert next_cell == data["name"][int(np.nanargmax(most))], "the largest impact, by the keyboard"
