from __future__ import annotations

import dko


def test_a_copy_of_what_is_stored(fitted):
    dko.tl.double_ko(fitted, n_samples=10)
    table = dko.get.pairs(fitted)
    assert table.equals(fitted.uns["dko"]["pairs"])
    table.loc[:, "impact"] = 0.0
    assert not table.equals(fitted.uns["dko"]["pairs"])
