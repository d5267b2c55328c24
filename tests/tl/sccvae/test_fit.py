from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from .conftest import effects_of, fit, same_weights


def test_held_out_perturbations_are_test_cells(perturbed, singles):
    held_out = singles[:2]
    found = fit(perturbed, holdout=held_out, test_fraction=0.2)
    role = found["perturbations"].set_index("perturbation")["role"]
    assert set(role.index[role == "held out"]) == set(held_out)
    split = perturbed.obs["dko_split"]
    assert (split[perturbed.obs["perturbation"].isin(held_out)] == "test").all()
    assert (split[perturbed.obs["perturbation"] == "control"] == "test").sum() == 12
    assert len(found["weights"]["network.codes"][0]) == 6 - len(
        set(held_out) - {gene for label in role.index[role == "trained"] for gene in label.split("+")}
    )


def test_the_seed_decides(perturbed, singles):
    """T6: the same history, weights and predictions; and others with another seed."""
    first, again, other = (
        fit(adata, rng=rng) for adata, rng in ((perturbed, 1), (perturbed.copy(), 1), (perturbed.copy(), 2))
    )
    pd.testing.assert_frame_equal(first["history"], again["history"])
    same_weights(first, again)
    assert not first["history"].equals(other["history"])
    assert fit(perturbed.copy(), rng=np.random.default_rng(1))["history"].equals(first["history"])
    np.testing.assert_array_equal(effects_of(perturbed, singles), effects_of(perturbed, singles))


def test_cells_of_held_out_perturbations_change_nothing(perturbed, singles):
    """T7: delete them, or change what was measured in them: the same model."""
    gene = singles[0]
    expected = fit(perturbed, holdout=[gene])
    predicted = effects_of(perturbed, [gene])
    assert np.isfinite(predicted).all() and np.abs(predicted).max() > 1e-6
    own = (perturbed.obs["perturbation"] == gene).to_numpy()
    without = perturbed[~own].copy()
    found = fit(without)
    changed = perturbed.copy()
    x = changed.X.toarray()
    x[own] = 5.5
    changed.X = sparse.csr_matrix(x)
    of_changed = fit(changed, holdout=[gene])
    same_weights(found, expected)
    same_weights(of_changed, expected)
    pd.testing.assert_frame_equal(found["history"], expected["history"])
    np.testing.assert_array_equal(effects_of(without, [gene]), predicted)


def test_perturbations_of_few_cells_take_part(perturbed, singles, caplog):
    """T14: in training and in validation."""
    own = np.flatnonzero(perturbed.obs["perturbation"] == singles[0])
    part = perturbed[np.setdiff1d(np.arange(perturbed.n_obs), own[5:])].copy()
    found = fit(part.copy(), min_cells=20)
    role = found["perturbations"].set_index("perturbation").loc[singles[0]]
    assert (role["role"], role["n_cells"]) == ("dropped", 5)
    assert f"Perturbations left out of the fit: '{singles[0]}', of fewer than min_cells=20 cells." in caplog.text
    found = fit(part, min_cells=5)
    role = found["perturbations"].set_index("perturbation").loc[singles[0]]
    assert role["role"] == "trained" and role["strength"] > 0
    split = part.obs["dko_split"][part.obs["perturbation"] == singles[0]]
    assert split.value_counts().to_dict() == {"train": 4, "validation": 1, "test": 0, "unused": 0}


def test_targets_are_always_among_the_genes(perturbed, singles):
    found = fit(perturbed, n_top_genes=5)
    assert set(singles) <= set(found["genes"]) and len(found["genes"]) < 40
    chosen = [gene for gene in perturbed.var_names if gene not in singles][:4]
    assert set(fit(perturbed, genes=chosen)["genes"]) == {*chosen, *singles}
