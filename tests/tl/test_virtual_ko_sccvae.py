from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

FIT: dict[str, Any] = {
    "model": "sccvae",
    "perturbation_key": "perturbation",
    "control": "control",
    "n_latent": 8,
    "hidden": (16, 16),
    "groups": 4,
    "batch_size": 32,
    "n_members": 2,
    "max_steps": 100,
    "learning_rate": 3e-3,
    "progress": False,
}


@pytest.fixture(scope="session")
def _perturbed():
    adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "odd", "even"))
    dko.tl.fit(adata, **FIT, holdout=[adata.varm["effect"].columns[5]])
    return adata


@pytest.fixture
def perturbed(_perturbed):
    """A fitted simulated screen; the sixth single perturbation is unseen unless the pair has it."""
    return _perturbed.copy()


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


def test_impacts_are_the_dissimilarity_of_relative_profiles(perturbed, genes):
    after = np.expm1(predicted(perturbed, genes[0]))
    before = np.expm1(perturbed.X.toarray()[control_of(perturbed)])
    shares = [profile / profile.sum(axis=1, keepdims=True) for profile in (before, after)]
    expected = 0.5 * np.abs(shares[0] - shares[1]).sum(axis=1)
    np.testing.assert_allclose(perturbed.obsm["dko_impact"][genes[0]][control_of(perturbed)], expected, atol=1e-5)


@pytest.mark.parametrize("mixture", [False, True])
def test_no_dose_is_no_change(mixture, perturbed, genes):
    """T3: exactly the observed cells."""
    none = predicted(perturbed, genes[0], dose=0.0, mixture=mixture)
    np.testing.assert_array_equal(none, perturbed.X.toarray()[control_of(perturbed)])
    assert (perturbed.obsm["dko_impact"].loc[control_of(perturbed), genes[0]] == 0).all()
    whole = predicted(perturbed, genes[0])
    assert np.abs(whole - none).max() > 1e-3


def test_distance_from_the_control_grows_with_the_dose(perturbed, genes):
    """T5: of the mean prediction; in steps, up to the knockout."""
    means = [predicted(perturbed, genes[0], dose=dose).mean(axis=0) for dose in (0.0, 0.25, 0.5, 0.75, 1.0)]
    distances = [np.linalg.norm(mean - means[0]) for mean in means]
    assert distances[0] == 0 and (np.diff(distances) > 0).all()
    np.testing.assert_array_equal(means[-1], predicted(perturbed, genes[0]).mean(axis=0))


def test_in_a_mixture_a_share_of_the_cells_gets_all(perturbed, genes):
    """T5: about half of them at half the dose, and of these every one also at a higher dose."""
    none, whole = (predicted(perturbed, genes[0], dose=dose) for dose in (0.0, 1.0))
    affected = []
    for dose in (0.5, 0.8):
        found = predicted(perturbed, genes[0], dose=dose, mixture=True)
        like_whole, like_none = ((found == other).all(axis=1) for other in (whole, none))
        assert (like_whole ^ like_none).all()
        affected.append(like_whole)
    assert 0.3 < affected[0].mean() < 0.7
    assert (affected[1] | ~affected[0]).all() and affected[1].sum() > affected[0].sum()
    np.testing.assert_array_equal(whole, predicted(perturbed, genes[0], dose=1.0, mixture=True))


@pytest.mark.parametrize("dose", [-0.1, 1.5, np.nan, "much", True])
def test_doses_outside_the_range_are_refused(dose, perturbed, genes, unchanged):
    """T5."""
    with unchanged(perturbed), pytest.raises((ValueError, TypeError), match="dose="):
        dko.tl.virtual_ko(perturbed, genes[0], dose=dose)


def test_seed_decides_the_draw(perturbed, genes):
    """T6."""
    first, again, other = (predicted(perturbed, genes[0], rng=rng) for rng in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


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


def test_no_parameter_takes_measured_cells():
    """T7, T17: neither truth nor a strength that was chosen with it."""
    assert set(inspect.signature(dko.tl.virtual_ko).parameters) == {
        "adata", "genes", "dose", "groups", "profiles", "key", "mod", "device", "batch_size", "mixture", "rng",
        "progress", "copy",
    }  # fmt: skip


def test_cells_that_nobody_has_labelled_are_taken_for_control(perturbed, genes, capsys):
    """New cells, without the column of perturbations."""
    new = perturbed[control_of(perturbed)].copy()
    dko.tl.virtual_ko(new, genes[0])
    expected = np.asarray(new.layers[f"dko_ko_{genes[0]}"])
    del new.obs["perturbation"]
    dko.tl.virtual_ko(new, genes[0])
    np.testing.assert_array_equal(new.layers[f"dko_ko_{genes[0]}"], expected)
    assert "There is no obs['perturbation'], so all 60 cells are taken for unperturbed ones." in capsys.readouterr().err


def test_combinations_go_by_their_genes_whatever_their_order(perturbed, genes):
    """T15, also of an unseen gene."""
    first = predicted(perturbed, (genes[0], genes[5]))
    np.testing.assert_array_equal(first, predicted(perturbed, (genes[5], genes[0])))
    assert not np.allclose(first, predicted(perturbed, genes[0]))


def test_order_of_genes_and_of_knockouts_does_not_matter(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[:3])
    expected = layer_of(perturbed, genes[1])
    turned = perturbed[:, ::-1].copy()
    dko.tl.virtual_ko(turned, genes[2::-1])
    np.testing.assert_allclose(layer_of(turned, genes[1])[:, ::-1], expected, atol=1e-5)


def test_blocks_do_not_matter(perturbed, genes):
    expected = predicted(perturbed, genes[0], mixture=True, dose=0.5)
    found = predicted(perturbed, genes[0], mixture=True, dose=0.5, batch_size=7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_groups_are_taken_among_the_control_cells(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[0], groups={"batch": "even"})
    chosen = control_of(perturbed) & (perturbed.obs["batch"] == "even").to_numpy()
    assert (np.isfinite(perturbed.layers[f"dko_ko_{genes[0]}"]).all(axis=1) == chosen).all()
    with pytest.raises(ValueError, match="None of the chosen cells is a control cell"):
        dko.tl.virtual_ko(perturbed, genes[0], groups=~control_of(perturbed))


def test_genes_outside_the_model_have_no_prediction(perturbed, genes):
    """Of an AnnData that has more genes than were fitted."""
    dko.tl.fit(perturbed, **FIT | {"max_steps": 10}, n_top_genes=10)
    fitted = set(perturbed.uns["dko"]["genes"])
    dko.tl.virtual_ko(perturbed, genes[0])
    finite = np.isfinite(perturbed.layers[f"dko_ko_{genes[0]}"][control_of(perturbed)]).all(axis=0)
    assert set(perturbed.var_names[finite]) == fitted and len(fitted) < 40


def test_impacts_alone(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[0])
    expected = perturbed.obsm["dko_impact"].copy()
    dko.tl.virtual_ko(perturbed, genes[0], profiles=False)
    assert f"dko_ko_{genes[0]}" not in perturbed.layers
    pd.testing.assert_frame_equal(perturbed.obsm["dko_impact"], expected)
    with dko.settings.override(result_budget=1), pytest.raises(ValueError, match="pass profiles=False"):
        dko.tl.virtual_ko(perturbed, genes[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [("gene_", "No gene 'gene_' in what this model can perturb"), ("SOX2", "It knows the 40 genes that have features")],
)
def test_unknown_genes_are_named(asked, message, perturbed, unchanged):
    """T9."""
    with unchanged(perturbed), pytest.raises(KeyError, match=message):
        dko.tl.virtual_ko(perturbed, asked)


def test_results_are_read_by_the_getters(perturbed, genes):
    dko.tl.virtual_ko(perturbed, genes[:2])
    table = dko.get.impact(perturbed)
    assert list(table.columns) == genes[:2]
    np.testing.assert_array_equal(table.notna().all(axis=1), control_of(perturbed))


def test_the_strength_that_knows_the_answer_is_no_part_of_the_model(perturbed, genes):
    """T17: it is found outside, and changes nothing."""
    before = {name: array.copy() for name, array in perturbed.uns["dko"]["weights"].items()}
    none = predicted(perturbed, genes[0], dose=0.0).mean(axis=0)
    doses = np.linspace(0, 1, 5)
    effects = np.array([predicted(perturbed, genes[0], dose=dose).mean(axis=0) - none for dose in doses])
    found = dko.metrics.oracle_strength(effects, effects[2], strengths=doses)
    assert found == 0.5
    for name, array in perturbed.uns["dko"]["weights"].items():
        np.testing.assert_array_equal(array, before[name])
    assert "oracle" not in str(perturbed.uns["dko"]["params"])


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_of_no_cells_are_refused(batch_size, perturbed, genes, unchanged):
    with unchanged(perturbed), pytest.raises(ValueError, match=f"batch_size={batch_size} must be at least 1"):
        dko.tl.virtual_ko(perturbed, genes[0], batch_size=batch_size)
