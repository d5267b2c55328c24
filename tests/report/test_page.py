"""The page as a whole: what it holds, that it is safe, and that it loads nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

from .conftest import HOSTILE, Page

SECTIONS = ["fit", "ranking", "knockouts", "affected", "interactions", "clusters", "identity", "doses", "modules"]


def test_every_result_has_a_section_with_a_table_and_a_picture(full_page):
    assert list(full_page.sections) == ["summary", "remarks", *SECTIONS, "missing", "parameters"]
    assert all(full_page.tables[name] for name in SECTIONS)
    assert all(table.rows for tables in full_page.tables.values() for table in tables)
    assert len(full_page.named("img")) >= len(SECTIONS)
    links = {attrs["href"].removeprefix("#") for attrs in full_page.named("a")}
    assert links == {*SECTIONS, "parameters"}
    assert "dko.tl.evaluate(adata, perturbation_key='...', control='...')" in full_page.sections["missing"]


def test_what_is_not_there_is_a_call_to_make(fitted, page_of):
    page = page_of(fitted)
    assert list(page.sections) == ["summary", "remarks", "fit", "missing", "parameters"]
    calls = re.findall(r"dko\.tl\.(\w+)\(adata", page.sections["missing"])
    assert set(calls) == set(dko.tl.__all__) - {"fit", "double_ko", "enrichment"}


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
    assert HOSTILE in full_page.sections["remarks"]
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
    ids = [attrs["id"] for _, attrs in full_page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_page_that_is_not_closed_is_noticed(full_page):
    with pytest.raises(AssertionError):
        Page(full_page.html.replace("</section>", "", 1))


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


def test_counts_of_affected_genes(full_page, complete):
    counts, first = full_page.tables["affected"]
    found = dko.get.affected_genes(complete, HOSTILE)
    n_lowered = int(((found["pval_adj"] <= 0.05) & (found["z"] < 0)).sum())
    row = counts.rows[counts.column("knockout").index(HOSTILE)]
    assert row[counts.header.index("lowered")] == str(n_lowered)
    assert first.column("knockout") == ["gene_3"] * 4 + [HOSTILE] * 4


def test_parameters_and_facts(full_page, complete):
    (parameters,) = full_page.tables["parameters"]
    rows = dict(parameters.rows)
    assert rows["effects"] == "total" and rows["key"] == "dko"
    assert set(rows) == {"key", *complete.uns["dko"]["params"]}
    summary = full_page.sections["summary"]
    assert "80" in summary and "20 in the file" in summary and "64 train, 16 validation" in summary


def test_evaluation(evaluated, page_of):
    page = page_of(evaluated)
    assert list(page.sections)[:4] == ["summary", "remarks", "fit", "evaluation"]
    (scores,) = page.tables["evaluation"]
    summary = dko.get.evaluation(evaluated).drop(index=["measurement", "replicate"])
    assert set(scores.column("method")) == set(summary.index[summary["pearson"].notna()])
    correlations = [float(row[1]) for row in scores.values if row[1]]
    assert correlations == sorted(correlations, reverse=True)
    assert "has been compared" not in page.sections["remarks"]


def test_a_model_of_perturbations(screen, page_of):
    how: dict[str, Any] = {"perturbation_key": "knockout", "control": "control", "progress": False}
    sizes: dict[str, Any] = {"n_latent": 4, "hidden": (8,), "batch_size": 32, "max_steps": 10}
    dko.tl.fit(screen, model="sccvae", normalize=True, key_added="screen", **how, **sizes)
    bare = page_of(screen, key="screen")
    assert list(bare.sections) == ["summary", "remarks", "perturbations", "fit", "missing", "parameters"]
    assert "key='screen'" in bare.sections["missing"] and "tl.scan" not in bare.sections["missing"]
    assert "No perturbation was held out" in bare.sections["remarks"]
    dko.tl.virtual_ko(screen, ["gene_2"], key="screen")
    dko.tl.dose_response(screen, "gene_2", doses=[0, 1], key="screen")
    dko.tl.perturbation_modules(screen, n_null=20, key="screen")
    page = page_of(screen, key="screen")
    assert {"knockouts", "doses", "modules"} <= set(page.sections)
    perturbations = screen.uns["screen"]["perturbations"]
    (listed,) = page.tables["perturbations"]
    assert sorted(listed.column("perturbation")) == sorted(perturbations["perturbation"])


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
    assert by_type.column("group") == ["B", "B", "CD4/CD8 T", "CD4/CD8 T"] and "beyond expression" not in by_type.header
    assert page.tables["affected"][1].column("group") == ["B", "B", "CD4/CD8 T", "CD4/CD8 T"] * 2
    assert {"B", "CD4/CD8 T"} == set(page.tables["interactions"][0].column("group"))
    assert "2 models" in " ".join(page.sections["summary"].split())
    assert "gene mean per cell_type" in page.tables["fit"][0].column("prediction")


def test_sets_of_genes_and_modules_that_agree(complete, page_of):
    sets = {
        "knockout": ["gene_3"] * 3,
        "source": ["A", "B", "C"],
        "score": [0.5, -3.0, 1.0],
        "pval_adj": [0.5, 0.01, 0.1],
    }
    complete.uns["dko_enrichment"] = {"params": {}, "table": pd.DataFrame(sets)}
    known = {name: "first" if number % 2 else "second" for number, name in enumerate(complete.var_names)}
    dko.tl.perturbation_modules(complete, groups=known, alpha=1.0)
    page = page_of(complete, n_genes=2)
    assert page.tables["affected"][2].column("set of genes") == ["B", "C"]
    agreement = page.tables["modules"][2]
    place, found = agreement.header.index("adjusted Rand index"), dko.get.modules(complete, what="agreement")
    assert [row[place] for row in agreement.values] == [str(value) for value in found["ari"]]


def test_modules_of_direct_effects_which_are_not_tested(fitted, page_of):
    dko.tl.perturbation_modules(fitted)
    members, _ = page_of(fitted).tables["modules"]
    assert len(members.rows) == 20 and set(members.column("p of an effect")) == {""}


def test_sets_of_genes_of_groups_beside_genes_of_all_cells(complete, page_of):
    """The groups of either table are its own."""
    sets = {"knockout": "gene_3", "group": ["B", "T"] * 2, "source": ["A", "A", "B", "B"], "score": [1.0, 2, 3, 4]}
    complete.uns["dko_enrichment"] = {"params": {}, "table": pd.DataFrame(sets)}
    affected = page_of(complete, n_genes=1).tables["affected"]
    assert "group" not in affected[1].header and affected[2].column("group") == ["T", "B"]
    dko.tl.affected_genes(complete, "gene_3", groupby="cell_type", n_others=5)
    complete.uns["dko_enrichment"] = {"params": {}, "table": pd.DataFrame(sets).drop(columns="group")}
    affected = page_of(complete, n_genes=1).tables["affected"]
    assert len(affected[1].rows) == 2 and affected[2].column("set of genes") == ["B"]


def test_groups_that_are_true_or_false(complete, page_of):
    complete.obs["is_b"] = (complete.obs["cell_type"] == HOSTILE).to_numpy()
    page = page_of(complete, groupby="is_b")
    assert any("coloured by is_b" in attrs["alt"] for attrs in page.named("img"))
    assert {"gene mean per is_b"} <= set(page.tables["fit"][0].column("prediction"))
