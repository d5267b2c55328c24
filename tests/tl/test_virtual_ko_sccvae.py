from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dko


@pytest.fixture(scope="session")
def genes(_perturbed):
    """Targets, in the order of the simulation."""
    return list(_perturbed.uns["perturb_seq"]["strength"].index)


def layer_of(adata, label):
    """Predicted expression of the control cells."""
    return np.asarray(adata.layers[f"dko_ko_{label}"])[control_of(adata)]


def control_of(adata):
    return (adata.obs["perturbation"] == "control").to_numpy()


def predicted(adata, genes, **kwargs):
    dko.tl.virtual_ko(adata, genes, **kwargs)
    return layer_of(adata, genes if isinstance(genes, str) else "+".join(sorted(genes)))


def test_control_cells_alone_have_predictions(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[:2])
    control = control_of(perturbed)
    for gene in genes[:2]:
        layer = perturbed.layers[f"dko_ko_{gene}"]
        assert isinstance(layer, np.ndarray) and layer.dtype == np.float32
        assert np.isfinite(layer[control]).all() and (layer[control] >= 0).all()
        assert np.isnan(layer[~control]).all()
        impact = perturbed.obsm["dko_impact"][gene]
        assert impact.dtype == np.float32 and impact[control].between(0, 1).all() and impact[~control].isna().all()
    knockouts = perturbed.uns["dko"]["knockouts"]
    assert knockouts["n_cells"].tolist() == [60, 60] and knockouts["dose"].tolist() == [1.0, 1.0]


def test_predictions_have_the_measured_effects(perturbed, genes):
    """T12, in small: what is predicted of a knockdown that was seen is what was measured."""
    gene = genes[0]
    x = perturbed.X.toarray()
    measured = x[(perturbed.obs["perturbation"] == gene).to_numpy()].mean(axis=0) - x[control_of(perturbed)].mean(
        axis=0
    )
    found = predicted(perturbed, gene).mean(axis=0) - x[control_of(perturbed)].mean(axis=0)
    assert np.corrcoef(found, measured)[0, 1] > 0.6


@pytest.mark.parametrize("how", [{}, {"dose": 0.4}, {"mixture": True, "dose": 0.7}, {"batch_size": 9}])
def test_means_of_predicted_less_observed_cells_are_the_effects(perturbed, genes, how):
    """Of seen and unseen genes, and of several together."""
    asked = [*genes, (genes[0], genes[5])]
    x = perturbed.X.toarray()[control_of(perturbed)]
    changes = []
    for one in asked:
        label = one if isinstance(one, str) else "+".join(sorted(one))
        changes.append(predicted(perturbed, one, **how).mean(axis=0) - x.mean(axis=0))
        assert (layer_of(perturbed, label) >= 0).all()
    if not how.keys() & {"dose", "mixture"}:
        np.testing.assert_allclose(changes, dko.get.effects(perturbed, asked).X, atol=1e-4)
        return
    dko.tl.dose_response(perturbed, asked, doses=[how["dose"]], mixture="mixture" in how)
    for label, members, change in zip(
        [dko.get.dose_response(perturbed)["knockout"][row] for row in range(len(asked))], asked, changes, strict=True
    ):
        change[np.isin(perturbed.var_names, members)] = 0
        found = dko.get.dose_response(perturbed, [label])["distance"].item()
        assert found == pytest.approx(np.linalg.norm(change), rel=1e-3)


def test_means_over_a_group_are_the_effects_in_it(perturbed, genes):
    """Of one call for all cells, or for those of the group alone."""
    effects = dko.get.effects(perturbed, genes[0], groupby="batch")
    x, control = perturbed.X.toarray(), control_of(perturbed)
    whole = predicted(perturbed, genes[0])
    for batch in ("even", "odd"):
        cells = (perturbed.obs["batch"] == batch).to_numpy() & control
        expected = effects[f"{genes[0]} ({batch})"].X[0]
        np.testing.assert_allclose(whole[cells[control]].mean(axis=0) - x[cells].mean(axis=0), expected, atol=1e-4)
        dko.tl.virtual_ko(perturbed, genes[0], groups={"batch": batch})
        layer = perturbed.layers[f"dko_ko_{genes[0]}"]
        np.testing.assert_allclose(layer[cells], whole[cells[control]], atol=1e-5)
        assert np.isnan(layer[~cells]).all()


def test_zeros_stay_where_a_gene_is_predicted_to_fall(perturbed, genes):
    x = perturbed.X.toarray()[control_of(perturbed)]
    column = list(perturbed.var_names).index(genes[0])
    found = predicted(perturbed, genes[0])[:, column]
    assert (x[:, column] == 0).any() and (found[x[:, column] == 0] == 0).all()
    assert found.mean() < x[:, column].mean()


def test_distance_from_the_control_grows_with_the_dose(perturbed, genes):
    """T5: of the mean prediction; in steps, up to the knockout."""
    means = [predicted(perturbed, genes[0], dose=dose).mean(axis=0) for dose in (0.0, 0.25, 0.5, 0.75, 1.0)]
    distances = [np.linalg.norm(mean - means[0]) for mean in means]
    assert distances[0] == 0 and (np.diff(distances) > 0).all()
    np.testing.assert_array_equal(means[-1], predicted(perturbed, genes[0]).mean(axis=0))


@pytest.mark.parametrize("dose", [-0.1, 1.5, np.nan, "much", True])
def test_doses_outside_the_range_are_refused(dose, perturbed, genes, unchanged):
    """T5."""
    with unchanged(perturbed), pytest.raises((ValueError, TypeError), match="dose="):
        dko.tl.virtual_ko(perturbed, genes[0], dose=dose)


def test_nothing_measured_in_perturbed_cells_enters(perturbed, genes):
    """T7: what any of them holds, held out or not, and whether they are there."""
    label = next(label for label in perturbed.varm["effect"] if "+" in label)
    asked = [*genes, tuple(label.split("+"))]
    dko.tl.virtual_ko(perturbed, asked)
    control = control_of(perturbed)
    changed = perturbed.copy()
    x = changed.X.toarray()
    x[~control] = 5.5
    changed.X = x
    alone = perturbed[control].copy()
    for adata in (changed, alone):
        dko.tl.virtual_ko(adata, asked)
        for gene in (*genes, label):
            np.testing.assert_allclose(layer_of(adata, gene), layer_of(perturbed, gene), atol=1e-5)
            impact = adata.obsm["dko_impact"][gene][control_of(adata)]
            np.testing.assert_allclose(impact, perturbed.obsm["dko_impact"][gene][control], atol=1e-6)


def test_cells_that_nobody_has_labelled_are_taken_for_control(perturbed, genes, capsys):
    """New cells, without the column of perturbations."""
    new = perturbed[control_of(perturbed)].copy()
    dko.tl.virtual_ko(new, genes[0])
    expected = np.asarray(new.layers[f"dko_ko_{genes[0]}"])
    del new.obs["perturbation"]
    dko.tl.virtual_ko(new, genes[0])
    np.testing.assert_array_equal(new.layers[f"dko_ko_{genes[0]}"], expected)
    assert "There is no obs['perturbation'], so all 60 cells are taken for unperturbed ones." in capsys.readouterr().err


def test_order_of_genes_and_of_knockouts_does_not_matter(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[:3])
    expected = layer_of(perturbed, genes[1])
    turned = perturbed[:, ::-1].copy()
    dko.tl.virtual_ko(turned, genes[2::-1])
    np.testing.assert_allclose(layer_of(turned, genes[1])[:, ::-1], expected, atol=1e-5)


def test_genes_outside_the_model_have_no_prediction(perturbed, genes):
    """Of an AnnData that has more genes than were fitted."""
    of_fit: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control", "n_members": 1, "n_latent": 8}
    dko.tl.fit(perturbed, model="sccvae", **of_fit, hidden=(16,), max_steps=10, n_top_genes=10, progress=False)
    fitted = set(perturbed.uns["dko"]["genes"])
    dko.tl.virtual_ko(perturbed, genes[0])
    finite = np.isfinite(perturbed.layers[f"dko_ko_{genes[0]}"][control_of(perturbed)]).all(axis=0)
    assert set(perturbed.var_names[finite]) == fitted and len(fitted) < 40
