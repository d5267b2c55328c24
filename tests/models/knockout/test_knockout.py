from __future__ import annotations

import pytest

from dko.models import knockout


def test_engine_of_a_cpu():
    torch = pytest.importorskip("torch")
    engine = knockout.engine(torch.device("cpu"))
    for name in ("predict", "scan", "knock_out", "effect_sums"):
        assert getattr(engine, name) is getattr(knockout, name)
