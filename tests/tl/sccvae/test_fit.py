from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import dko

from .conftest import SMALL, effects_of, fit, same_weights


def measured_effects(adata, labels, cells):
    x, of = adata.X.toarray(), adata.obs["perturbation"].to_numpy()
    control = x[of == "control"].mean(axis=0)
    return np.array([x[(of == label) & cells].mean(axis=0) - control for label in labels])


# What is written


def test_what_is_written(screen, singles):
    found = fit(screen, n_members=3)
    assert found["params"]["model"] == "sccvae" and found["params"]["n_members"] == 3
    assert {name: found["params"][name] for name in ("perturbation_key", "control", "values", "features", "graph")} == {
        "perturbation_key": "perturbation",
        "control": "control",
        "values": "log1p",
        "features": "influence",
        "graph": "full",
    }
    assert found["params"]["config"]["n_latent"] == 8
    assert found["genes"] == found["targets"] == list(screen.var_names)
    assert found["groups"] == []
    assert list(found["history"].columns) == ["member", "step", "epoch", "train_loss", "validation_loss"]
    assert found["history"]["step"].max() == SMALL["max_steps"]
    pd.testing.assert_frame_equal(dko.get.history(screen), found["history"])
    table = found["perturbations"].set_index("perturbation")
    assert set(table.index) == set(screen.varm["effect"].columns)
    assert (table["role"] == "trained").all() and (table["n_cells"] == 25).all()
    assert table["strength"].dtype == np.float32 and (table["strength"] > 0).all()
    split = screen.obs["dko_split"]
    counts = split.groupby([screen.obs["perturbation"], split], observed=False).size().unstack()
    assert (counts.loc["control"] == [48, 12, 0, 0]).all()
    assert (counts.drop("control") == [20, 5, 0, 0]).all(axis=None)
    for array in found["weights"].values():
        assert isinstance(array, np.ndarray) and np.isfinite(array).all()


def test_held_out_perturbations_are_test_cells(screen, singles):
    held_out = singles[:2]
    found = fit(screen, holdout=held_out, test_fraction=0.2)
    role = found["perturbations"].set_index("perturbation")["role"]
    assert set(role.index[role == "held out"]) == set(held_out)
    split = screen.obs["dko_split"]
    assert (split[screen.obs["perturbation"].isin(held_out)] == "test").all()
    assert (split[screen.obs["perturbation"] == "control"] == "test").sum() == 12
    assert len(found["weights"]["network.codes"][0]) == 6 - len(
        set(held_out) - {gene for label in role.index[role == "trained"] for gene in label.split("+")}
    )


def test_labels_of_other_types(screen, singles):
    """Booleans and numbers name the control, and one perturbation is spelled in whatever order."""
    first, second = next(label for label in screen.varm["effect"] if "+" in label).split("+")
    labels = screen.obs["perturbation"].astype(str)
    turned = labels.replace({f"{first}+{second}": f"{second}+{first}"}) + np.where(
        np.isin(labels, singles) & (np.arange(len(labels)) % 2 == 0), "+control", ""
    )
    expected = fit(screen.copy())
    screen.obs["perturbation"] = turned
    found = fit(screen)
    same_weights(found, expected)
    pd.testing.assert_frame_equal(found["perturbations"], expected["perturbations"])
    screen.obs["perturbation"] = labels.replace({"control": "0"})
    assert fit(screen, control=0)["params"]["control"] == "0"


# T6: seeds


def test_the_seed_decides(screen, singles):
    """T6: the same history, weights and predictions; and others with another seed."""
    first, again, other = (fit(adata, rng=rng) for adata, rng in ((screen, 1), (screen.copy(), 1), (screen.copy(), 2)))
    pd.testing.assert_frame_equal(first["history"], again["history"])
    same_weights(first, again)
    assert not first["history"].equals(other["history"])
    assert fit(screen.copy(), rng=np.random.default_rng(1))["history"].equals(first["history"])
    np.testing.assert_array_equal(effects_of(screen, singles), effects_of(screen, singles))


# T7: unseen perturbations


def test_cells_of_held_out_perturbations_change_nothing(screen, singles):
    """T7: delete them, or change what was measured in them: the same model."""
    gene = singles[0]
    expected = fit(screen, holdout=[gene])
    predicted = effects_of(screen, [gene])
    assert np.isfinite(predicted).all() and np.abs(predicted).max() > 1e-6
    own = (screen.obs["perturbation"] == gene).to_numpy()
    without = screen[~own].copy()
    found = fit(without)
    changed = screen.copy()
    x = changed.X.toarray()
    x[own] = 5.5
    changed.X = sparse.csr_matrix(x)
    of_changed = fit(changed, holdout=[gene])
    same_weights(found, expected)
    same_weights(of_changed, expected)
    pd.testing.assert_frame_equal(found["history"], expected["history"])
    np.testing.assert_array_equal(effects_of(without, [gene]), predicted)


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_every_measured_gene_can_be_perturbed(code, screen, singles):
    """T7, T8."""
    fit(screen, code=code)
    unseen = screen.var_names.difference(singles)
    effects = effects_of(screen, unseen)
    assert np.isfinite(effects).all()
    assert (np.abs(effects).max(axis=1) > 1e-6).all()


# T12: it learns


@pytest.fixture(scope="module")
def learned():
    """20 perturbations, five of them held out, and a fifth of the cells of the others."""
    adata = dko.datasets.perturb_seq(rng=0)
    labels = list(adata.varm["effect"].columns)
    held_out = labels[:5]
    dko.tl.fit(
        adata, model="sccvae", perturbation_key="perturbation", control="control", holdout=held_out, test_fraction=0.2,
        n_latent=32, hidden=(64, 64), max_steps=400, n_members=1, progress=False,
    )  # fmt: skip
    return adata, held_out


def correlations(a, b):
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def test_effects_of_trained_perturbations_are_learned(learned):
    """T12: on held-out cells, above 0.5 in correlation, and closer than no effect."""
    adata, held_out = learned
    seen = [label for label in adata.varm["effect"] if label not in held_out]
    measured = measured_effects(adata, seen, (adata.obs["dko_split"] == "test").to_numpy())
    found = effects_of(adata, seen)
    assert correlations(found, measured).mean() > 0.5
    assert correlations(found, adata.varm["effect"][seen].to_numpy().T).mean() > 0.7
    assert ((found - measured) ** 2).mean() < 0.7 * (measured**2).mean()


def test_effects_of_unseen_perturbations_are_predicted(learned):
    """T12: of genes of modules that are known, closer than no effect and than the mean effect."""
    adata, held_out = learned
    seen = [label for label in adata.varm["effect"] if label not in held_out]
    everything = np.ones(adata.n_obs, dtype=bool)
    measured, mean = (measured_effects(adata, labels, everything) for labels in (held_out, seen))
    found = effects_of(adata, held_out)
    of_mean = np.broadcast_to(mean.mean(axis=0), measured.shape)
    assert correlations(found, measured).mean() > correlations(of_mean, measured).mean() + 0.1
    assert ((found - measured) ** 2).mean() < 0.9 * (measured**2).mean()


# T14: few cells, in any order


def test_perturbations_of_few_cells_take_part(screen, singles, caplog):
    """T14: in training and in validation."""
    own = np.flatnonzero(screen.obs["perturbation"] == singles[0])
    part = screen[np.setdiff1d(np.arange(screen.n_obs), own[5:])].copy()
    found = fit(part.copy(), min_cells=20)
    role = found["perturbations"].set_index("perturbation").loc[singles[0]]
    assert (role["role"], role["n_cells"]) == ("dropped", 5)
    assert f"Perturbations left out of the fit: '{singles[0]}', of fewer than min_cells=20 cells." in caplog.text
    found = fit(part, min_cells=3)
    role = found["perturbations"].set_index("perturbation").loc[singles[0]]
    assert role["role"] == "trained" and role["strength"] > 0
    split = part.obs["dko_split"][part.obs["perturbation"] == singles[0]]
    assert split.value_counts().to_dict() == {"train": 4, "validation": 1, "test": 0, "unused": 0}


# Genes


def test_targets_are_always_among_the_genes(screen, singles):
    found = fit(screen, n_top_genes=5)
    assert set(singles) <= set(found["genes"]) and len(found["genes"]) < 40
    chosen = [gene for gene in screen.var_names if gene not in singles][:4]
    assert set(fit(screen, genes=chosen)["genes"]) == {*chosen, *singles}


def test_the_paper_preset(screen):
    """Its code, losses and optimiser, in sizes that take no minutes."""
    del (small := dict(SMALL))["groups"], small["batch_size"]
    dko.tl.fit(screen, **small, preset="paper")
    params = screen.uns["dko"]["params"]
    assert params["preset"] == "paper" and params["learning_rate"] == 5e-4 and params["batch_size"] == 32
    config = params["config"]
    assert (config["code"], config["pairs"], config["effect"], config["groups"]) == ("softmax", 1.0, 0.0, 1)
    assert (config["mmd"], config["kl"], config["epsilon"]) == (10.0, 1.0, 0.01)
    assert config["bandwidths"][0] == 31.25 and config["bandwidths"][-1] == 16_000
    # Scores of components as they are, the first with most of the spread.
    spread = screen.uns["dko"]["weights"]["features"].std(axis=0)
    assert spread[0] > 2 * spread[-1]
