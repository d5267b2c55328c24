from __future__ import annotations

import numpy as np

from dko.models.knockout._lanes import by_panel


def test_by_panel():
    panel_of = np.array([3, 1, 7, 1, 3, 2, 0], dtype=np.int32)
    assert by_panel(panel_of, 1, 3).tolist() == [1, 3, 5, 0, 4]
    assert by_panel(panel_of, 4, 3).tolist() == []
