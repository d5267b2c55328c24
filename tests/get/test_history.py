from __future__ import annotations

import dko


def test_a_copy_of_what_is_stored(grouped):
    table = dko.get.history(grouped)
    assert table.columns.tolist() == ["group", "step", "epoch", "train_loss", "validation_loss"]
    assert table.equals(grouped.uns["dko"]["history"])
    table["step"] = 0
    assert not table.equals(grouped.uns["dko"]["history"])
