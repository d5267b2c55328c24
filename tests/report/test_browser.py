"""The page in a real browser: its script runs, its policy holds, and there is something to see."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.image import imread

from .conftest import Page

pytestmark = pytest.mark.slow

# Sorts the ranking over all cells by impact, twice, and that of groups by name; searches; tries to load something.
ACTIONS = """
<script>
{
document.addEventListener("securitypolicyviolation", (event) => {
  document.title = `${event.effectiveDirective} refused`;
});
const tables = document.querySelectorAll("#ranking table");
const header = (table, name) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name);
header(tables[2], "impact").click();
header(tables[2], "impact").click();
header(tables[1], "group").focus();
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
const search = document.querySelector("#parameters input");
search.value = "FRACTION";
search.dispatchEvent(new Event("input"));
fetch("http://127.0.0.1:9/");
}
</script>
"""


@pytest.fixture(scope="module")
def opened(_full_page, browser, tmp_path_factory):
    """The page as the browser has it after these actions."""
    folder = tmp_path_factory.mktemp("opened")
    path = folder / "report.html"
    path.write_text(_full_page.html.replace("</body>", f"{ACTIONS}</body>"), encoding="utf-8")
    return browser(folder, "--dump-dom", path.as_uri())


def test_a_click_on_a_header_sorts_by_number(opened):
    page = Page(opened)
    overall = page.tables["ranking"][2]
    impacts = [float(value) for value in overall.column("impact")]
    assert impacts == sorted(impacts) and len(set(impacts)) > 1
    assert [attrs["aria-sort"] for attrs in page.named("th") if "aria-sort" in attrs] == ["ascending", "ascending"]


def test_words_are_sorted_too(opened, full_page):
    before, after = (page.tables["ranking"][1].column("group") for page in (full_page, Page(opened)))
    assert after == sorted(before, key=str.lower)


def test_a_search_hides_other_rows(opened):
    rows = re.findall(r"<tr( hidden=\"\")?>\s*<td class=\"text\">([^<]+)</td>", opened.split('id="parameters"')[1])
    assert {name for hidden, name in rows if not hidden} == {"test_fraction", "validation_fraction"}
    assert re.search(r"2 of \d+ rows", opened)


def test_its_policy_keeps_it_off_the_network(opened):
    assert "<title>connect-src refused</title>" in opened


@pytest.mark.parametrize("size", ["1200,1600", "390,1600"])
def test_there_is_something_to_see(_full_page, browser, tmp_path, size):
    """On a screen and on a phone: rows with dark text, and more than a few colours."""
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(_full_page.html, encoding="utf-8")
    browser(tmp_path, f"--window-size={size}", "--hide-scrollbars", f"--screenshot={shot}", path.as_uri())
    seen = imread(shot)
    assert seen.shape[:2] == tuple(int(length) for length in reversed(size.split(",")))
    rows_with_ink = (seen[..., :3].min(axis=(1, 2)) < 0.5).mean()
    assert rows_with_ink > 0.2 and np.unique(seen[..., :3].reshape(-1, 3), axis=0).shape[0] > 50
