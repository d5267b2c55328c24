"""The page in a real browser: its script runs, its policy holds, and there is something to see."""

from __future__ import annotations

import re

import pytest

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
header(tables[1], "group").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
const search = document.querySelector("#parameters input");
search.value = "FRACTION";
search.dispatchEvent(new Event("input"));
fetch("http://127.0.0.1:9/");
}
</script>
"""


def test_headers_sort_a_search_hides_rows_and_nothing_is_loaded(full_page, browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(full_page.html.replace("</body>", f"{ACTIONS}</body>"), encoding="utf-8")
    html = browser(tmp_path, "--dump-dom", path.as_uri())
    page = Page(html)
    impacts = [float(value) for value in page.tables["ranking"][2].column("impact")]
    assert impacts == sorted(impacts) and len(set(impacts)) > 1
    before, after = (one.tables["ranking"][1].column("group") for one in (full_page, page))
    assert after == sorted(before, key=str.lower)
    rows = re.findall(r"<tr( hidden=\"\")?>\s*<td class=\"text\">([^<]+)</td>", html.split('id="parameters"')[1])
    assert {name for hidden, name in rows if not hidden} == {"test_fraction", "validation_fraction"}
    assert re.search(r"2 of \d+ rows", html) and "<title>connect-src refused</title>" in html
