"""The page "Write your own model", run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dko
from dko.models import REGISTRY

PAGE = Path(__file__).parents[1] / "docs" / "own_model.md"


@pytest.fixture
def page(cells, screen, tmp_path, monkeypatch):
    """What the names of the page hold after all of its code has run."""
    monkeypatch.chdir(tmp_path)
    names = {"adata": cells, "screen": screen}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    yield names
    del REGISTRY["coexpression"]


def test_the_code_of_the_page_does_what_it_says(page):
    adata = page["adata"]
    model = adata.uns["dko"]
    change = np.asarray(model["weights"]["change"])
    assert model["params"]["model"] == "coexpression" and change.shape == (20, 20)
    np.testing.assert_array_equal(adata.uns["again"]["weights"]["change"], change)
    counts = adata.X.toarray()
    total = model["params"]["target_sum"]
    x = np.log1p(total * counts / counts.sum(axis=1, keepdims=True))
    for genes in (["gene_3"], ["gene_2", "gene_5"]):
        columns, label = adata.var_names.get_indexer(genes), "+".join(genes)
        there = (counts[:, columns] > 0).any(axis=1)
        after = np.maximum(np.where(x > 0, x + change[columns].sum(axis=0), 0), 0)
        after[:, columns] = 0
        np.testing.assert_allclose(adata.layers[f"dko_ko_{label}"][there], after[there], atol=1e-4)
        shares = [np.expm1(values) / np.expm1(values).sum(axis=1, keepdims=True) for values in (x, after)]
        impact = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
        np.testing.assert_allclose(dko.get.impact(adata, [label])[label].to_numpy()[there], impact[there], atol=1e-4)
    scanned = adata.layers["dko_impact"][:, 3].toarray().ravel()
    np.testing.assert_allclose(scanned, dko.get.impact(adata, "gene_3")["gene_3"].fillna(0), atol=1e-6)
    doses = dko.get.dose_response(adata)
    assert (np.diff(doses["impact_mean"]) > 0).all() and doses["distance"][0] == 0
    assert page["effects"].shape == (40, 20) and np.isfinite(page["effects"].X).all()


def test_it_is_evaluated_beside_measured_knockouts(page):
    scores = page["scores"]
    assert scores.attrs["n_perturbations"] == 5 and np.isfinite(scores.loc["model", "pearson"])


def test_its_report_has_what_there_is_and_names_what_it_can_have(page, tmp_path):
    dko.io.write_report(page["adata"], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert {"ranking", "knockouts", "doses"} <= set(re.findall(r'<section id="(\w+)"', html))
    missing = html.split('<section id="missing">')[1]
    assert "dko.tl.cluster_impact" in missing and "dko.tl.interactions" not in missing


def test_what_it_lacks_is_said_in_one_sentence(page):
    asked: Any
    for verb, asked in ((dko.tl.interactions, {"genes": ["gene_3", "gene_4"]}), (dko.get.profiles, {})):
        with pytest.raises(
            ValueError, match="holds a model of kind 'coexpression', which this function does not support"
        ):
            verb(page["adata"], **asked)


def test_what_follows_from_a_scan_follows_from_its_scan_too(page):
    adata = page["adata"]
    dko.tl.rank_genes(adata)
    dko.tl.affected_genes(adata, "gene_3", min_cells=3)
    dko.tl.cluster_impact(adata)
    dko.tl.identity_shift(adata, "gene_3", groupby="cell_type")
    dko.tl.perturbation_modules(adata)
    dko.tl.double_ko(adata, [("gene_3", "gene_4")])
    assert len(dko.get.ranking(adata)) == 20 and len(dko.get.modules(adata)) == 20
    assert dko.get.pairs(adata)["impact"].between(0, 1).all()
    with pytest.raises(
        KeyError, match=r"adata.uns\['dko'\] has no history: a model of kind 'coexpression' leaves none"
    ):
        dko.get.history(adata)
