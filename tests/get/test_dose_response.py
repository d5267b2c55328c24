from __future__ import annotations

import pytest

import dko


@pytest.fixture
def dosed(fitted):
    dko.tl.dose_response(fitted, ["gene_2", "HSPA1A/B", ("gene_5", "gene_3")], doses=[0.5, 1.0], n_responders=2)
    return fitted


def test_rows_are_in_the_order_that_is_asked_for(dosed):
    table = dko.get.dose_response(dosed)
    assert table["knockout"].tolist() == ["gene_2"] * 2 + ["HSPA1A/B"] * 2 + ["gene_3+gene_5"] * 2
    table = dko.get.dose_response(dosed, [("gene_3", "gene_5"), "gene_2", "gene_2"])
    assert table["knockout"].tolist() == ["gene_3+gene_5"] * 2 + ["gene_2"] * 2
    assert table["dose"].tolist() == [0.5, 1.0] * 2
    assert dko.get.dose_response(dosed, "gene_3+gene_5")["knockout"].tolist() == ["gene_3+gene_5"] * 2


def test_responders(dosed):
    table = dko.get.dose_response(dosed, ["HSPA1A/B"], responders=True)
    assert table.columns.tolist() == ["knockout", "gene", "dose", "change"]
    assert len(table) == 4 and table["dose"].tolist() == [0.5, 1.0] * 2


def test_refusals(dosed, cells):
    with pytest.raises(KeyError, match=r"No doses in adata.uns\['dko_dose_response'\]; run dko.tl.dose_response"):
        dko.get.dose_response(cells)
    with pytest.raises(KeyError, match="No knockout 'gene_4' in the dose response"):
        dko.get.dose_response(dosed, "gene_4")
