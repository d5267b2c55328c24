from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dko.datasets import perturb_seq


@pytest.fixture(scope="module")
def screen():
    """Of many cells, none of which escapes."""
    return perturb_seq(
        4, 60, n_cells=1_500, n_controls=3_000, n_modules=2, n_pairs=2, n_without_effect=1, penetrance=1.0, rng=1
    )


def mean_log_change(adata, label):
    """Change of the log of the mean counts per cell."""
    counts = adata.layers["counts"].toarray()
    of, control = (counts[(adata.obs["perturbation"] == name).to_numpy()].mean(axis=0) for name in (label, "control"))
    return np.log(of / control)


def test_measured_changes_are_the_true_ones(screen):
    """Counts say it up to the spread of the activities, which is the same with and without a perturbation."""
    for label, effect in screen.varm["effect"].items():
        np.testing.assert_allclose(mean_log_change(screen, label), effect, atol=0.2)
        assert np.corrcoef(mean_log_change(screen, label), effect)[0, 1] > 0.9


def test_effects_go_from_a_module_to_later_ones_only(screen):
    network = screen.uns["perturb_seq"]["network"]
    assert (np.tril(network) == 0).all()
    targets = screen.uns["perturb_seq"]["strength"]
    numbers = screen.var["module"].cat.codes.to_numpy()
    assert (screen.var["module"][targets.index] == targets["module"]).all()
    for gene, (module, strength) in targets.iterrows():
        effect = screen.varm["effect"][gene].drop(gene)
        other = numbers[screen.var_names != gene]
        first = int(module.removeprefix("module_"))
        assert (effect[other < first] == 0).all()
        assert (effect[other == first] < 0).all() == (strength > 0)


def test_the_effect_of_a_pair_is_the_sum_of_its_singles(screen):
    pairs = [label for label in screen.varm["effect"] if "+" in label]
    assert len(pairs) == 2
    for label in pairs:
        first, second = label.split("+")
        assert label == "+".join(sorted([first, second]))
        summed = screen.varm["effect"][first] + screen.varm["effect"][second]
        np.testing.assert_allclose(screen.varm["effect"][label], summed, atol=1e-6)


def test_penetrance_is_the_share_of_affected_cells():
    full, part, none = (perturb_seq(2, 20, n_cells=2_000, penetrance=share, rng=3) for share in (1.0, 0.6, 0.0))
    for adata, share in ((full, 1.0), (part, 0.6), (none, 0.0)):
        of_control = adata.obs["perturbation"] == "control"
        assert not adata.obs["affected"][of_control].any()
        assert adata.obs["affected"][~of_control].mean() == pytest.approx(share, abs=0.03)
        np.testing.assert_allclose(adata.varm["effect"], share * full.varm["effect"], atol=1e-6)
    gene = part.varm["effect"].columns[0]
    of_gene = part.obs["perturbation"] == gene
    own = pd.Series(part.layers["counts"][:, part.var_names.get_loc(gene)].toarray().ravel(), part.obs_names)
    means = own[of_gene].groupby(part.obs["affected"][of_gene]).mean()
    assert means[True] < 0.6 * means[False]


def test_cells_and_targets_come_in_no_order():
    """So that what goes by position where it should go by name is found out."""
    adata = perturb_seq(6, 60)
    labels = adata.obs["perturbation"]
    assert labels.ne(labels.shift()).mean() > 0.5
    assert list(adata.varm["effect"].columns) != [f"gene_{i}" for i in range(6)]
