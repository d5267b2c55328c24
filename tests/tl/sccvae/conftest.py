"""What tests of fits of a small simulated screen share."""

from __future__ import annotations

from typing import Any

import numpy as np

import dko

from ...conftest import PERTURB_SEQ

SMALL: dict[str, Any] = {**PERTURB_SEQ, "code_hidden": (8,), "n_members": 1, "max_steps": 6}


def fit(adata, **changed):
    dko.tl.fit(adata, **SMALL | changed)
    return adata.uns["dko"]


def same_weights(a, b, tolerance=0.0):
    assert set(a["weights"]) == set(b["weights"])
    for name, array in a["weights"].items():
        np.testing.assert_allclose(b["weights"][name], array, atol=tolerance, rtol=0, err_msg=name)


def effects_of(adata, genes):
    """Mean change of control cells per gene that is perturbed: genes x genes."""
    return dko.get.effects(adata, list(genes)).X
