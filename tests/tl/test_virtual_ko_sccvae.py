from __future__ import annotations

import numpy as np
import pytest

import dko

from ..conftest import PERTURB_SEQ


def layer_of(adata, label):
    """Predicted expression of the control cells."""
    return np.asarray(adata.layers[f"dko_ko_{label}"])[control_of(adata)]


def control_of(adata):
    return (adata.obs["perturbation"] == "control").to_numpy()


def predicted(adata, genes, **kwargs):
    dko.tl.virtual_ko(adata, genes, **kwargs)
    return layer_of(adata, genes if isinstance(genes, str) else "+".join(sorted(genes)))


@pytest.mark.parametrize("how", [{}, {"dose": 0.4}, {"mixture": True, "dose": 0.7}, {"batch_size": 9}])
def test_means_of_predicted_less_observed_cells_are_the_effects(perturbed, singles, how):
    """Of seen and unseen genes, and of several together."""
    asked = [*singles, (singles[0], singles[5])]
    x = perturbed.X.toarray()[control_of(perturbed)]
    cells = [predicted(perturbed, one, **how) for one in asked]
    changes = np.array([one.mean(axis=0) - x.mean(axis=0) for one in cells])
    assert all((one >= 0).all() for one in cells)
    if "dose" not in how:
        np.testing.assert_allclose(changes, dko.get.effects(perturbed, asked).X, atol=1e-4)
        return
    dko.tl.dose_response(perturbed, asked, doses=[how["dose"]], mixture="mixture" in how)
    for members, change in zip(asked, changes, strict=True):
        change[np.isin(perturbed.var_names, members)] = 0
    found = dko.get.dose_response(perturbed)["distance"]
    np.testing.assert_allclose(found, np.linalg.norm(changes, axis=1), rtol=1e-3)


def test_means_over_a_group_are_the_effects_in_it(perturbed, singles):
    """Of one call for all cells, or for those of the group alone."""
    effects = dko.get.effects(perturbed, singles[0], groupby="batch")
    x, control = perturbed.X.toarray(), control_of(perturbed)
    whole = predicted(perturbed, singles[0])
    for batch in ("even", "odd"):
        cells = (perturbed.obs["batch"] == batch).to_numpy() & control
        expected = effects[f"{singles[0]} ({batch})"].X[0]
        np.testing.assert_allclose(whole[cells[control]].mean(axis=0) - x[cells].mean(axis=0), expected, atol=1e-4)
        dko.tl.virtual_ko(perturbed, singles[0], groups={"batch": batch})
        layer = perturbed.layers[f"dko_ko_{singles[0]}"]
        np.testing.assert_allclose(layer[cells], whole[cells[control]], atol=1e-5)
        assert np.isnan(layer[~cells]).all()


def test_zeros_stay_where_a_gene_is_predicted_to_fall(perturbed, singles):
    x = perturbed.X.toarray()[control_of(perturbed)]
    column = list(perturbed.var_names).index(singles[0])
    found = predicted(perturbed, singles[0])[:, column]
    assert (x[:, column] == 0).any() and (found[x[:, column] == 0] == 0).all()
    assert found.mean() < x[:, column].mean()


def test_nothing_measured_in_perturbed_cells_enters(perturbed, singles):
    """T7: what any of them holds, held out or not, and whether they are there."""
    label = next(label for label in perturbed.varm["effect"] if "+" in label)
    asked = [*singles, tuple(label.split("+"))]
    dko.tl.virtual_ko(perturbed, asked)
    control = control_of(perturbed)
    changed = perturbed.copy()
    x = changed.X.toarray()
    x[~control] = 5.5
    changed.X = x
    alone = perturbed[control].copy()
    for adata in (changed, alone):
        dko.tl.virtual_ko(adata, asked)
        for gene in (*singles, label):
            np.testing.assert_allclose(layer_of(adata, gene), layer_of(perturbed, gene), atol=1e-5)
            impact = adata.obsm["dko_impact"][gene][control_of(adata)]
            np.testing.assert_allclose(impact, perturbed.obsm["dko_impact"][gene][control], atol=1e-6)


def test_genes_outside_the_model_have_no_prediction(perturbed, singles):
    """Of an AnnData that has more genes than were fitted."""
    dko.tl.fit(perturbed, **PERTURB_SEQ, n_members=1, max_steps=10, n_top_genes=10)
    fitted = set(perturbed.uns["dko"]["genes"])
    dko.tl.virtual_ko(perturbed, singles[0])
    finite = np.isfinite(perturbed.layers[f"dko_ko_{singles[0]}"][control_of(perturbed)]).all(axis=0)
    assert set(perturbed.var_names[finite]) == fitted and len(fitted) < 40


def test_effects_are_learned(perturbed, singles):
    """Of knockdowns that were seen, and of the sixth, which was not."""
    found, true = dko.get.effects(perturbed, singles).X, perturbed.varm["effect"][singles].to_numpy().T
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in zip(found, true, strict=True)]
    assert np.mean(correlations[:5]) > 0.6
