"""The page as a whole: what it holds, what it warns of, that it is safe, and that it loads nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import dko

from ..conftest import SCREEN, SMALL_SCCVAE
from .conftest import HOSTILE, Page


def only(adata, *kept):
    """Drop the results that a test is not about, whose pictures take time."""
    for name in [name for name in adata.uns if name.startswith("dko_") and name not in kept]:
        del adata.uns[name]
    adata.uns["dko"].pop("knockouts", None)


def said(page, section="summary"):
    return " ".join(page.sections[section].split())


SECTIONS = ["fit", "ranking", "knockouts", "affected", "interactions", "clusters", "identity", "doses", "modules"]


def test_every_result_has_a_section_with_a_table_and_a_picture(full_page):
    assert list(full_page.sections) == ["summary", "remarks", *SECTIONS, "missing", "parameters"]
    assert all(full_page.tables[name] for name in SECTIONS)
    assert all(table.rows for tables in full_page.tables.values() for table in tables)
    assert len(full_page.named("img")) >= len(SECTIONS)
    links = {attrs["href"].removeprefix("#") for attrs in full_page.named("a")}
    assert links == {*SECTIONS, "parameters"}
    assert "dko.tl.evaluate(adata, perturbation_key=..., control=...)" in full_page.sections["missing"]
    assert "dko.get.ranking(adata, groupby='cell_type', key_added='by_type')" in full_page.sections["ranking"]


def test_it_loads_nothing(full_page):
    for tag, attrs in full_page.tags:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert attrs.get(name, "#").startswith(("data:image/png;base64,", "#")), (tag, name)
    assert not {"link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in full_page.tags}
    assert "url(" not in full_page.html and "@import" not in full_page.html
    (policy,) = [meta["content"] for meta in full_page.named("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_are_never_html(full_page):
    """Title, genes, groups, captions and alternative texts all hold a script."""
    assert len(full_page.scripts) == 1 and "alert" not in full_page.scripts[0]
    assert HOSTILE not in full_page.html
    assert HOSTILE in full_page.sections["summary"]
    for name in ("knockouts", "affected", "identity", "doses"):
        assert any(HOSTILE in row for table in full_page.tables[name] for row in table.rows), name
    assert any(HOSTILE in attrs["alt"] for attrs in full_page.named("img"))


def test_it_is_a_document_that_can_be_read_aloud(full_page):
    assert full_page.html.startswith("<!DOCTYPE html>\n<html lang=")
    tags = [tag for tag, _ in full_page.tags]
    assert tags.count("h1") == 1 and tags.count("title") == 1 and tags.count("main") == 1
    assert all(attrs["alt"].strip() for attrs in full_page.named("img"))
    assert all(attrs["scope"] == "col" for attrs in full_page.named("th"))
    assert all(table.caption for tables in full_page.tables.values() for table in tables)
    wide = [attrs for attrs in full_page.named("p") if "wide" in attrs.get("class", "")]
    assert wide and all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in wide), "scrolled by keyboard"
    ids = [attrs["id"] for _, attrs in full_page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    with pytest.raises(ElementTree.ParseError):
        Page(full_page.html.replace("</section>", "", 1))


def test_it_opens_with_a_conclusion_from_the_results(full_page, complete):
    """What was fitted, whether it beats its baselines, which genes matter where, and what to doubt."""
    text = said(full_page)
    assert (
        "dko model (from unperturbed cells) was fitted to 80 of the 80 cells and 20 of the 20 genes of this file"
        in text
    )
    quality = dko.get.fit_quality(complete, groupby="cell_type")["bray_curtis"]
    best = quality.drop("model").idxmin()
    verdict = "better than the best baseline," if quality["model"] < quality[best] else "no better than"
    numbers = f"(Bray-Curtis distance {quality['model']:.3f} against {quality[best]:.3f})"
    assert f"validation cells {verdict} the {best} {numbers}" in text
    assert "It has not been checked against measured knockouts." in text
    assert "upper bound of what is causal" in text and "noise: " in text
    table = dko.get.ranking(complete, groupby="cell_type", key_added="by_type")
    for group, part in table.groupby("group", observed=True):
        first = part[part["pval_adj"] <= 0.05].head(3)
        genes = [f"{gene} {impact:.3f}" for gene, impact in zip(first["gene"], first["downstream_mean"], strict=True)]
        found = f"{', '.join(genes)} (FDR up to {first['pval_adj'].max():.2g})" if genes else "none at FDR ≤ 0.05"
        assert f"{group}: {found}" in text
    assert 3 <= len(re.findall(r"\.(?: |$)", text.removeprefix("Conclusion "))) <= 7


def test_genes_are_named_by_the_tested_number_with_its_rate(complete, page_of):
    """In the largest groups, none where none is significant, and none of ribosomes."""
    only(complete, "dko_ranking")
    complete.obs["part"] = pd.Categorical([f"p{n}" for n in np.repeat(range(7), [20, 10, 10, 10, 10, 10, 10])])
    dko.tl.rank_genes(complete, groupby="part", n_bootstraps=2, min_cells=2)
    table = complete.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(table["group"] == "p0", 0.0123, 0.5)
    table.loc[(table["group"] == "p0").idxmax(), "mark"] = "ribosomal"
    first = dko.get.ranking(complete, groupby="part").query("group == 'p0'").iloc[1:4]
    genes = ", ".join(
        f"{gene} {impact:.3f}" for gene, impact in zip(first["gene"], first["downstream_mean"], strict=True)
    )
    text = said(page_of(complete, groupby="part"))
    assert "impact (none ribosomal or mitochondrial), in each part: p0: " in text
    assert f"p0: {genes} (FDR up to 0.012) p1: none at FDR ≤ 0.05 p2: " in text
    assert " 2 smaller groups: see below " in text
    complete.uns["dko_ranking"]["table"] = table.iloc[:0]
    assert "downstream impact" not in said(page_of(complete, groupby="part"))


def test_tables_are_the_first_rows_of_the_results(full_page, complete):
    groups, by_type, overall = full_page.tables["ranking"]
    found = dko.get.ranking(complete)
    assert overall.column("gene") == found["gene"].tolist()[:4]
    place = overall.header.index("impact")
    assert [row[place] for row in overall.values] == [str(float(value)) for value in found["impact_mean"][:4]]
    table = dko.get.ranking(complete, groupby="cell_type", key_added="by_type")
    assert groups.column("genes ranked") == [str(n) for n in table.groupby("group", observed=True).size()]
    assert by_type.column("group") == [group for group in table["group"].cat.categories for _ in range(4)]
    quality = dko.get.fit_quality(complete, groupby="cell_type")
    (fit,) = full_page.tables["fit"]
    assert fit.column("prediction") == quality.index.tolist()
    assert fit.column("Bray-Curtis") == [f"{value:.3f}" for value in quality["bray_curtis"]]


def test_a_model_with_nothing_but_direct_effects_and_modules(fitted, page_of):
    """What is not there is a call to make; direct effects are not tested."""
    dko.tl.perturbation_modules(fitted)
    page = page_of(fitted)
    assert list(page.sections) == ["summary", "remarks", "fit", "modules", "missing", "parameters"]
    calls = re.findall(r"dko\.tl\.(\w+)\(adata", page.sections["missing"])
    others = {"fit", "scan", "double_ko", "enrichment", "plan", "perturbation_modules"}
    assert set(calls) == set(dko.tl.__all__) - others
    members, _ = page.tables["modules"]
    assert len(members.rows) == 20 and "p of an effect" not in members.header
    assert "Effects are direct" in page.sections["remarks"]


@pytest.mark.parametrize(("score", "is_worse"), [(2.0, False), (-2.0, True)])
def test_evaluation(evaluated, page_of, score, is_worse):
    summary = evaluated.uns["dko_evaluation"]["summary"]
    summary.loc[(summary["method"] == "model") & (summary["metric"] == "pearson"), "mean"] = score
    page = page_of(evaluated)
    assert list(page.sections)[:4] == ["summary", "remarks", "fit", "evaluation"]
    (scores,) = page.tables["evaluation"]
    summary = dko.get.evaluation(evaluated).drop(index=["measurement", "replicate"])
    assert set(scores.column("method")) == set(summary.index[summary["pearson"].notna()])
    correlations = [float(row[1]) for row in scores.values if row[1]]
    assert correlations == sorted(correlations, reverse=True)
    best = summary["pearson"].drop("model").idxmax()
    verdict = f"{'no better' if is_worse else 'better'} than the best baseline, {best} (Pearson {score:.3f} against "
    assert f"{verdict}{summary.at[best, 'pearson']:.3f})" in said(page)
    assert "was fitted to 200 of the 400 cells" in said(page) and "not been checked" not in said(page)


@pytest.mark.parametrize(("ends", "may_be_chance"), [(np.nan, True), ([0.1, 0.2], False)])
def test_a_gain_without_an_interval_may_be_chance(ends, may_be_chance, evaluated, page_of):
    summary = evaluated.uns["dko_evaluation"]["summary"]
    summary.loc[:, ["gain_low", "gain_high"]] = ends
    assert ("which may be chance." in said(page_of(evaluated))) is may_be_chance


def test_a_model_of_perturbations(screen, page_of):
    screen = screen[~screen.obs_names.isin(screen.obs_names[screen.obs["knockout"] == "gene_6"][5:])].copy()
    dko.tl.fit(screen, key_added="screen", **SCREEN, **SMALL_SCCVAE, n_members=1)
    bare = page_of(screen, key="screen")
    assert list(bare.sections) == ["summary", "remarks", "perturbations", "fit", "missing", "parameters"]
    assert "key='screen'" in bare.sections["missing"] and "tl.rank_genes" not in bare.sections["missing"]
    assert "No perturbation was held out" in bare.sections["remarks"]
    assert "which genes are present" not in bare.sections["fit"], "such a model does not predict from these"
    assert "were dropped, for too few cells or unknown genes: 'gene_6'." in bare.sections["remarks"]
    dko.tl.virtual_ko(screen, ["gene_2"], key="screen")
    dko.tl.dose_response(screen, "gene_2", doses=[0, 1], key="screen")
    page = page_of(screen, key="screen")
    assert {"knockouts", "doses"} <= set(page.sections)
    (listed,) = page.tables["perturbations"]
    assert sorted(listed.column("perturbation")) == sorted(screen.uns["screen"]["perturbations"]["perturbation"])


def test_a_model_per_group(cells, page_of, quick):
    """Results per group, of which some cells have none; nothing is ranked over all cells."""
    grouped = cells
    dko.tl.fit(grouped, groupby="cell_type", **{**quick, "effects": "total"})
    dko.tl.scan(grouped)
    dko.tl.affected_genes(grouped, ["gene_2", "gene_3"], n_others=5)
    dko.tl.interactions(grouped, list(grouped.var_names[2:6]), groupby="cell_type", n_permutations=10)
    grouped.obs["cell_type"] = grouped.obs["cell_type"].where(np.arange(80) > 3)
    page = page_of(grouped, n_genes=2)
    groups, by_type = page.tables["ranking"]
    assert groups.column("group") == ["B", "CD4/CD8 T"] and groups.column("cells") == ["38", "38"]
    assert by_type.column("group") == ["B", "B", "CD4/CD8 T", "CD4/CD8 T"]
    assert page.tables["affected"][1].column("group") == ["B", "B", "CD4/CD8 T", "CD4/CD8 T"] * 2
    assert {"B", "CD4/CD8 T"} == set(page.tables["interactions"][0].column("group"))
    assert "one model for each of 2 groups of cell_type." in said(page)
    assert "gene mean per cell_type" in page.tables["fit"][0].column("prediction")


def test_groups_with_most_affected_genes_are_drawn(grouped_into, page_of):
    page = page_of(grouped_into(8), n_genes=2)
    (alt,) = [tag["alt"] for tag in page.named("img") if tag["alt"].startswith("Change of each gene and")]
    assert alt.endswith(", in g7, g6, g5, g4, g3, g2"), "the first six by their number of genes"


@pytest.fixture
def grouped_into(cells, quick):
    """Cells with affected genes in so many groups, one more in each."""

    def made(n):
        dko.tl.fit(cells, **{**quick, "effects": "total"})
        cells.obs["part"] = np.array([f"g{i % n}" for i in range(cells.n_obs)])
        dko.tl.affected_genes(cells, "gene_2", groupby="part", n_others=5, min_cells=1)
        table = cells.uns["dko_affected"]["table"]
        place = table.groupby("group", observed=True).cumcount()
        table["pval_adj"] = np.where(place <= table["group"].astype(str).str[1:].astype(int), 0.01, 0.5)
        return cells

    return made


def test_warnings(complete, page_of):
    """Of a group of few cells and no ranking, genes without co-expression, effects that are alike, an early end."""
    only(complete, "dko_ranking")
    weights, params = complete.uns["dko"]["weights"], complete.uns["dko"]["params"]
    weights["signal"][:], weights["signal"][:3] = 0.01, 0.5
    weights["influence"][:], weights["intercept"][:] = 0, 1
    params["similarity"] = 0.71
    history = complete.uns["dko"]["history"].iloc[[0] * 3].reset_index(drop=True)
    complete.uns["dko"]["history"] = history.assign(validation_loss=[3.0, 2.0, 1.0])
    complete.obs["half"] = pd.Categorical(["a"] * 75 + ["b"] * 5)
    page = page_of(complete, groupby="half")
    for sentence in (
        "correlate at 0.71",
        "The validation loss was still falling",
        "Genes are ranked in groups of half without intervals",
        "dko.tl.rank_genes(adata, groupby='half')",
        "Genes are not ranked in b:",
    ):
        assert sentence in said(page, "remarks"), sentence
    for sentence in (
        "3 of the 20 genes have no significant co-expression (FDR > 0.05)",
        "no better than the gene mean (Bray-Curtis",
        "Means over fewer than 50 cells are mostly noise: b (5).",
    ):
        assert sentence in said(page), sentence
    weights["signal"][:], params["similarity"] = 0.01, 0.2
    complete.uns["dko"]["history"] = history.assign(validation_loss=[3.0, 1.0, 2.0])
    page = page_of(complete)
    assert not any(words in page.sections["remarks"] for words in ("resemble", "still falling", "are ranked"))
    assert "no significant" not in page.sections["summary"]


def test_cells_are_drawn_in_the_colours_of_their_groups(complete, page_of, monkeypatch):
    """Those that the user has given, in the order of the column, which may be true or false."""
    only(complete)
    drawn = []
    monkeypatch.setattr("dko.report._sections.embedding", lambda adata, *_, **how: drawn.append((adata, how["color"])))
    complete.obs["flag"] = pd.Categorical((complete.obs["cell_type"] == HOSTILE).to_numpy(), categories=[True, False])
    complete.obs.loc[complete.obs_names[0], "flag"] = np.nan
    complete.obsm["X_umap"][3] = np.nan
    complete.uns["flag_colors"] = ["#ff0000", "#00ff00"]
    page = page_of(complete, groupby="flag")
    assert any("coloured by flag" in attrs["alt"] for attrs in page.named("img"))
    adata = next(adata for adata, color in drawn if color == "flag")
    assert list(adata.obs["flag"].cat.categories) == ["True", "False"] and adata.n_obs == 78
    assert list(adata.uns["flag_colors"]) == ["#ff0000", "#00ff00"]


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


@pytest.mark.slow
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
