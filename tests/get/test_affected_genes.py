from __future__ import annotations

import numpy as np
import pytest

import dko


@pytest.fixture(scope="module")
def affected(_fitted):
    adata = _fitted.copy()
    dko.tl.affected_genes(adata, ["gene_7", "HSPA1A/B"], groupby="cell_type")
    return adata


def test_rows_of_a_knockout_and_of_a_group(affected):
    whole = dko.get.affected_genes(affected)
    part = dko.get.affected_genes(affected, "HSPA1A/B", group=["B"])
    assert (part["knockout"] == "HSPA1A/B").all() and (part["group"] == "B").all()
    assert len(whole) == 4 * 19 and len(part) == 19 and part.index.tolist() == list(range(19))


@pytest.mark.parametrize("by", ["z", "change"])
def test_wide_is_what_decoupler_takes(affected, by):
    table = dko.get.affected_genes(affected)
    wide = dko.get.affected_genes(affected, as_wide=True, by=by)
    assert wide.shape == (4, 20) and wide.notna().all(axis=None) and set(map(str, wide.dtypes)) == {"float64"}
    assert set(wide.index) == {f"{gene} ({group})" for gene in ("gene_7", "HSPA1A/B") for group in ("B", "CD4/CD8 T")}
    for row in table.itertuples():
        value = getattr(row, by)
        assert wide.loc[f"{row.knockout} ({row.group})", row.gene] == pytest.approx(0 if np.isnan(value) else value)
    assert wide.loc["gene_7 (B)", "gene_7"] == 0


def test_without_groups_rows_are_knockouts(fitted):
    dko.tl.affected_genes(fitted, ["gene_7", "gene_8"])
    assert dko.get.affected_genes(fitted, as_wide=True).index.tolist() == ["gene_7", "gene_8"]
    with pytest.raises(KeyError, match="No group 'B'"):
        dko.get.affected_genes(fitted, group="B")


def test_what_is_not_there(affected, fitted):
    with pytest.raises(KeyError, match=r"run dko.tl.affected_genes"):
        dko.get.affected_genes(fitted)
    with pytest.raises(KeyError, match=r"No knockout 'gene_70' in .* Did you mean 'gene_7'"):
        dko.get.affected_genes(affected, "gene_70")
    with pytest.raises(ValueError, match="by='size' must be"):
        dko.get.affected_genes(affected, by="size")
