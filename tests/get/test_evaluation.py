from __future__ import annotations

import numpy as np
import pytest

import dko


def test_summary_has_an_interval_beside_each_mean(evaluated):
    found = dko.get.evaluation(evaluated)
    assert found.index.name == "method" and found.index[0] == "model"
    assert list(found)[:3] == ["pearson", "pearson_low", "pearson_high"]
    means = [name for name in found if not name.endswith(("_low", "_high", "_gain", "_scaled"))]
    gains, scaled = ([name for name in found if name.endswith(end)] for end in ("_gain", "_scaled"))
    assert len(found.columns) == 3 * (len(means) + len(gains)) + len(scaled)
    assert {"pearson_gain", "impact_ranking_gain"} <= set(gains) and "pearson_scaled" in scaled
    assert "impact_ranking" in means and "size" not in means
    assert "ceiling_whole" in means and "ceiling_gain" not in found
    tidy = evaluated.uns["dko_evaluation"]["summary"].set_index(["method", "metric"])
    for end, suffix in (("mean", ""), ("low", "_low"), ("high", "_high"), ("gain", "_gain"), ("gain_low", "_gain_low")):
        expected = tidy.loc[("co-expression", "spearman"), end]
        assert found.at["co-expression", f"spearman{suffix}"] == pytest.approx(expected)
    assert np.isnan(found.at["measurement", "pearson"]) and np.isnan(found.at["model", "ceiling"])


def test_a_row_per_method_and_perturbation(evaluated):
    found = dko.get.evaluation(evaluated, summary=False)
    assert found.index.names == ["method", "perturbation"] and found.index.is_unique
    tidy = evaluated.uns["dko_evaluation"]["table"]
    one = tidy[(tidy["method"] == "ridge on assemblage") & (tidy["perturbation"] == "gene_6")]
    values = one.set_index("metric")["value"]
    for metric, value in values.items():
        np.testing.assert_equal(found.at[("ridge on assemblage", "gene_6"), metric], value)
    assert found.loc["measurement", "n_cells"].eq(40).all()


def test_under_another_key(evaluated, fitted):
    with pytest.raises(KeyError, match=r"No evaluation in adata\.uns\['dko_evaluation'\]; run dko\.tl\.evaluate"):
        dko.get.evaluation(fitted)
    with pytest.raises(KeyError, match=r"uns\['mine_evaluation'\]; run dko\.tl\.evaluate\(adata, ..., key='mine'"):
        dko.get.evaluation(evaluated, key="mine")
