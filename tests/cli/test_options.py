from __future__ import annotations

import pytest

from dko.cli import _options


def test_names_are_separated_by_commas():
    assert _options.names("A, B,,HSPA1A/B") == ["A", "B", "HSPA1A/B"]


def test_names_from_a_file_are_one_per_line(tmp_path):
    (tmp_path / "genes.txt").write_text("A\n\n  B,1 \r\nC")
    assert _options.names(f"@{tmp_path / 'genes.txt'}") == ["A", "B,1", "C"]


def test_groups_of_the_fit_go_by_name(cells):
    assert _options.groups(None, cells, "cell_type") is None
    assert _options.groups(["B", "CD4/CD8 T"], cells, "cell_type") == ["B", "CD4/CD8 T"]


@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_groups_of_any_column_are_spelled_with_it(cells, groupby):
    cells.obs["batch"] = "1"
    words = ["cell_type=B", "cell_type=CD4/CD8 T", "batch=1"]
    assert _options.groups(words, cells, groupby) == {"cell_type": ["B", "CD4/CD8 T"], "batch": ["1"]}


def test_group_of_the_fit_may_hold_an_equals_sign(cells):
    assert _options.groups(["CD4=high"], cells, "cell_type") == ["CD4=high"]


def test_group_without_a_column_is_refused_where_the_fit_has_none(cells):
    with pytest.raises(ValueError, match="'B' names no column; write COLUMN=B"):
        _options.groups(["B"], cells, None)


def test_plus_joins_genes_unless_it_is_part_of_a_name():
    assert _options.knockouts(["A+B", "B+A", "A"], ["A", "B", "A+B"]) == ["A+B", ("B", "A"), "A"]
