from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import dko


@pytest.fixture(scope="session")
def _modular():
    """20 perturbations of two modules, three of them without effect; one more of each module is held out."""
    # A target that is a large share of all counts does something to the others when it goes: they are normalised.
    adata = dko.datasets.perturb_seq(
        22,
        100,
        n_cells=50,
        n_controls=300,
        n_modules=2,
        n_without_effect=3,
        density=0.0,
        strength=(1.0, 2.0),
        knockdown=0.3,
        rng=3,
    )
    strength = adata.uns["perturb_seq"]["strength"]
    strong = strength[strength["strength"] > 0]
    unseen = [strong.index[strong["module"] == module][0] for module in ("module_0", "module_1")]
    dko.tl.fit(
        adata,
        model="sccvae",
        perturbation_key="perturbation",
        control="control",
        holdout=unseen,
        max_steps=200,
        n_members=2,
        n_latent=16,
        hidden=(32,),
        progress=False,
    )
    dko.tl.perturbation_modules(adata, groups=adata.var["module"].astype(str))
    return adata


@pytest.fixture
def modular(_modular):
    return _modular.copy()


@pytest.fixture
def inert(_modular):
    strength = _modular.uns["perturb_seq"]["strength"]
    return set(strength.index[strength["strength"] == 0])


@pytest.fixture
def unseen(_modular):
    table = _modular.uns["dko"]["perturbations"]
    return list(table["perturbation"][table["role"] == "held out"])


def by_name(adata, **kwargs):
    return dko.get.modules(adata, **kwargs).set_index("perturbation")


def test_modules_are_found_and_what_has_no_effect_is_set_apart(modular, inert):
    """T13."""
    table = by_name(modular)
    assert len(table) == 20 and not table["is_unseen"].any()
    assert set(table.index[table["module"] == "no effect"]) == inert
    affects = table[table["module"] != "no effect"]
    assert adjusted_rand_score(affects["group"], affects["module"]) > 0.8
    assert set(affects["module"]) == {str(number + 1) for number in range(affects["module"].nunique())}
    assert affects["module"].value_counts()["1"] == affects["module"].value_counts().max()
    assert (affects["silhouette"] > 0).all() and table.loc[list(inert), "silhouette"].isna().all()
    assert (affects["p_effect"] <= 0.05).all() and (table.loc[list(inert), "p_effect"] > 0.05).all()
    assert np.isfinite(table[["strength", "umap_1", "umap_2"]]).to_numpy().all()


def test_order_of_perturbations_says_nothing(modular):
    """T13."""
    before = by_name(modular)
    order = np.random.default_rng(1).permutation(before.index)
    dko.tl.perturbation_modules(modular, list(order), groups=modular.var["module"].astype(str))
    after = by_name(modular)
    assert after.index.tolist() == list(order)
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    vectors = pd.DataFrame(modular.uns["dko_modules"]["vectors"], index=after.index)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), after["strength"], rtol=1e-5)


def test_unseen_ones_are_placed_without_a_look_at_their_cells(modular, unseen):
    trained = list(by_name(modular).index)
    dko.tl.perturbation_modules(modular, [*trained, *unseen])
    table = by_name(modular)
    assert list(table.index[table["is_unseen"]]) == unseen
    assert (table.loc[unseen, "n_cells"] == 0).all() and (table.loc[trained, "n_cells"] > 0).all()
    kept = modular[~modular.obs["perturbation"].isin(unseen)].copy()
    dko.tl.perturbation_modules(kept, [*trained, *unseen])
    pd.testing.assert_frame_equal(by_name(kept), table)
    assert np.isfinite(table.loc[unseen, ["strength", "umap_1", "umap_2"]]).to_numpy().all()


def test_genes_together_add_in_the_latent_space(modular):
    names = list(by_name(modular).index[:4])
    dko.tl.perturbation_modules(modular, [*names, (names[1], names[0]), f"{names[2]}+{names[3]}"])
    table = dko.get.modules(modular)
    assert table["perturbation"].tolist()[4:] == ["+".join(sorted(names[:2])), "+".join(sorted(names[2:]))]
    vectors = modular.uns["dko_modules"]["vectors"]
    np.testing.assert_allclose(vectors[4], vectors[0] + vectors[1], atol=1e-5)
    np.testing.assert_allclose(vectors[5], vectors[2] + vectors[3], atol=1e-5)


def test_effects_as_a_basis_and_without_the_target_itself(modular, inert):
    dko.tl.perturbation_modules(modular, basis="effect", groups=modular.var["module"].astype(str))
    table = by_name(modular)
    affects = table[table["module"] != "no effect"]
    assert set(table.index) - set(affects.index) == inert
    assert adjusted_rand_score(affects["group"], affects["module"]) > 0.8
    effects = dko.get.effects(modular, list(table.index)).X
    effects[np.arange(20), modular.var_names.get_indexer(table.index)] = 0
    lengths = np.linalg.norm(effects, axis=1)
    # Another draw from the posterior of the cells, of which only the mean counts.
    np.testing.assert_allclose(table["strength"], lengths, rtol=0.05)


def test_agreement_is_that_of_the_modules_beside_that_of_raw_effects(modular):
    found = dko.get.modules(modular, what="agreement")
    assert found[["basis", "over"]].to_numpy().tolist() == [
        ["latent", "all"],
        ["latent", "trained"],
        ["measured", "trained"],
    ]
    table = by_name(modular)
    affects = table[table["module"] != "no effect"]
    assert (found["n_perturbations"] == len(affects)).all()
    assert found["ari"][0] == pytest.approx(adjusted_rand_score(affects["group"], affects["module"]))
    assert (found[["ari", "nmi", "neighbours"]] > 0.8).all(axis=None) and (found["neighbours_p"] < 0.01).all()
    assert found["neighbours_expected"].between(0.3, 0.6).all()


def test_groups_of_pairs_in_any_order(modular, inert):
    singles = [label for label in dko.get.modules(modular)["perturbation"] if label not in inert]
    pairs = list(zip(singles[::2], singles[1::2], strict=False))[:4]
    turned = {"+".join(sorted(pair, reverse=True)): number % 2 for number, pair in enumerate(pairs)}
    dko.tl.perturbation_modules(modular, pairs, groups=turned)
    assert dko.get.modules(modular)["group"].tolist() == ["0", "1", "0", "1"]


def test_perturbations_that_are_predicted_to_do_nothing(modular):
    """Where training perturbations do not predict each other, the strength of unseen ones is 0."""
    modular.uns["dko"]["weights"]["strength"] = np.zeros_like(modular.uns["dko"]["weights"]["strength"])
    trained = set(dko.get.modules(modular)["perturbation"])
    dko.tl.perturbation_modules(modular, [gene for gene in modular.var_names if gene not in trained][:8])
    table = dko.get.modules(modular)
    assert (table["module"] == "no effect").all() and (table["p_effect"] == 1).all()
    assert (table[["umap_1", "umap_2", "strength"]] == 0).all(axis=None)


def test_markers_tell_modules_apart(modular):
    markers = dko.get.modules(modular, what="markers")
    table = by_name(modular)
    assert set(markers["module"]) == set(table["module"]) - {"no effect"}
    assert (markers.groupby("module").size() == 10).all()
    for module, part in markers.groupby("module"):
        apart = (part["change"] - part["others"]).abs().to_numpy()
        assert (np.diff(apart) <= 1e-9).all()
        (own,) = table.loc[table["module"] == module, "group"].mode()
        # Loadings are positive and knockdowns lower the activity.
        theirs = part[part["gene"].map(modular.var["module"]) == own]
        assert (theirs["change"] < 0).mean() > 0.8


def test_resolution(modular):
    counts = []
    for resolution in (0.05, 1.0, 5.0):
        dko.tl.perturbation_modules(modular, resolution=resolution)
        counts.append(dko.get.modules(modular)["module"].nunique())
    assert counts[0] <= counts[1] < counts[2]


def test_few_perturbations(modular):
    table = by_name(modular)
    affects = table[table["module"] != "no effect"]
    few = list(affects.groupby("group").head(4).index)
    dko.tl.perturbation_modules(modular, few, groups=modular.var["module"].astype(str))
    found = by_name(modular)
    assert adjusted_rand_score(found["group"], found["module"]) > 0.8
    dko.tl.perturbation_modules(modular, few[:2])
    assert len(by_name(modular)) == 2


def test_an_alpha_that_nothing_passes(modular):
    dko.tl.perturbation_modules(modular, sorted(by_name(modular).query("module == 'no effect'").index))
    assert set(by_name(modular)["module"]) == {"no effect"}
    assert dko.get.modules(modular, what="markers").empty


def test_control_cells_alone_are_enough(modular, inert):
    before = by_name(modular)
    cells = modular[modular.obs["perturbation"] == "control"].copy()
    dko.tl.perturbation_modules(cells, groups=modular.var["module"].astype(str))
    after = by_name(cells)
    np.testing.assert_allclose(after["strength"], before["strength"], rtol=1e-6)
    assert inert >= set(after.index[after["module"] == "no effect"])
    agreement = dko.get.modules(cells, what="agreement")
    assert agreement[["basis", "over"]].to_numpy().tolist() == [["latent", "all"]]


def test_refusals(modular):
    tell = dko.tl.perturbation_modules
    with pytest.raises(KeyError, match="No fitted model"):
        tell(modular, key="other")
    with pytest.raises(ValueError, match="Modules are of several knockouts, got 1"):
        tell(modular, "gene_1")
    with pytest.raises(KeyError, match="No gene 'gene_x'"):
        tell(modular, ["gene_1", "gene_x"])
    with pytest.raises(ValueError, match="basis='pca' must be 'latent' or 'effect'"):
        tell(modular, basis="pca")
    with pytest.raises(ValueError, match="resolution=0 must be above 0"):
        tell(modular, resolution=0)
    with pytest.raises(ValueError, match="alpha=0 must be above 0"):
        tell(modular, alpha=0)
    with pytest.raises(ValueError, match="n_null=10 is too few to tell anything at alpha=0.05; take at least 19"):
        tell(modular, n_null=10)
    with pytest.raises(ValueError, match="n_markers=0 must be at least 1"):
        tell(modular, n_markers=0)
    with pytest.raises(ValueError, match="says of 2 of the 20 perturbations which of 1 groups"):
        tell(modular, groups=dict.fromkeys(by_name(modular).index[:2], "a"))


def test_leiden_is_missing(modular, monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"pip install 'scanpy\[leiden\]'"):
        dko.tl.perturbation_modules(modular)
