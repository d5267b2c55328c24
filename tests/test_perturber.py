from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

import dko
from dko._core.checks import plain
from dko._core.knockouts import is_sccvae, open_perturber
from dko.models.sccvae import PAPER, Config, Network, config_of

FIT: dict[str, Any] = {
    "model": "sccvae",
    "perturbation_key": "perturbation",
    "control": "control",
    "n_latent": 8,
    "hidden": (16, 16),
    "groups": 4,
    "batch_size": 32,
    "max_steps": 60,
    "learning_rate": 3e-3,
    "n_members": 2,
    "progress": False,
}


@pytest.fixture(scope="session")
def _perturbed():
    adata = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=50, n_modules=2, rng=1)
    dko.tl.fit(adata, **FIT)
    return adata


@pytest.fixture
def perturber(_perturbed):
    return open_perturber(_perturbed.copy(), "dko", "rna", device="cpu")


@pytest.fixture(scope="session")
def genes(_perturbed):
    return list(_perturbed.uns["perturb_seq"]["strength"].index)


def test_control_cells_and_their_values(perturber):
    adata = perturber.adata
    assert (adata.obs["perturbation"].iloc[perturber.rows] == "control").all() and len(perturber.rows) == 50
    np.testing.assert_array_equal(perturber.values.toarray(), adata.X[perturber.rows].toarray())


def test_shifts_of_sets_are_sums_of_their_genes(perturber, genes):
    """T15: in whatever order; of seen and unseen genes alike."""
    unseen = next(gene for gene in perturber.fitted.targets if gene not in genes)
    single = perturber.shifts([[gene] for gene in (genes[0], genes[1], unseen)])
    pairs = perturber.shifts([[genes[0], genes[1]], [genes[1], genes[0]], [unseen, genes[0]]])
    torch.testing.assert_close(pairs[0], single[0] + single[1])
    torch.testing.assert_close(pairs[1], pairs[0])
    torch.testing.assert_close(pairs[2], single[2] + single[0])


def test_propagated_shifts_add_up_too(perturber, genes):
    """T15: the causal model is linear, so effects of pairs on its variables are additive."""
    pair, *single = perturber.model.propagated(perturber.shifts([genes[:2], genes[:1], genes[1:2]]))
    torch.testing.assert_close(pair, single[0] + single[1])


def test_the_draw_is_the_same_for_all_perturbations_and_calls(perturber, genes):
    """T5: with the same numbers, differences are effects."""
    asked = [([genes[0]], 1.0), ([genes[1]], 0.5)]
    ((_, before, both),) = perturber.perturbed(asked, rng=3)
    np.testing.assert_array_equal(before, perturber.values.toarray())
    for number in range(2):
        ((_, _, alone),) = perturber.perturbed(asked[number : number + 1], rng=3)
        np.testing.assert_allclose(both[number], alone[0], atol=1e-5)
    blocks = list(perturber.perturbed(asked, rng=3, n_rows=7))
    assert [block.stop - block.start for block, _, _ in blocks] == [7] * 7 + [1]
    np.testing.assert_allclose(np.concatenate([after for _, _, after in blocks], axis=1), both, atol=1e-5)
    ((_, _, other),) = perturber.perturbed(asked, rng=4)
    assert not np.allclose(other, both, atol=1e-3)


def test_pairs_are_before_and_after(perturber, genes):
    ((rows, before, after),) = perturber.pairs([genes[0]], rng=1)
    np.testing.assert_array_equal(rows, perturber.rows)
    ((_, same, half),) = perturber.pairs([genes[0]], 0.5, rng=1)
    np.testing.assert_array_equal(before, same)
    assert (np.linalg.norm(half - before, axis=1) < np.linalg.norm(after - before, axis=1)).all()
    ((_, _, none),) = perturber.pairs([genes[0]], 0.0, rng=1)
    np.testing.assert_array_equal(none, before)


@pytest.mark.parametrize("mixture", [False, True])
def test_doses_are_pairs_of_one_encoding(perturber, genes, mixture, monkeypatch):
    encoded, encode = [], Network.encode

    def counted(network, cells):
        encoded.append(len(cells))
        return encode(network, cells)

    monkeypatch.setattr(Network, "encode", counted)
    doses = [0.0, 0.4, 1.0]
    ((_, before, after),) = perturber.doses(genes[:2], doses, mixture=mixture, rng=5)
    assert encoded == [50, 50]
    for dose, cells in zip(doses, after, strict=True):
        ((_, _, alone),) = perturber.pairs(genes[:2], dose, mixture=mixture, rng=5)
        np.testing.assert_allclose(cells, alone, atol=1e-5)
    np.testing.assert_array_equal(after[0], before)


@pytest.mark.parametrize("mixture", [False, True])
def test_all_doses_of_a_block_fit_into_memory(perturber, genes, mixture):
    doses = [0.0, 0.2, 0.5, 1.0]
    with dko.settings.override(memory_budget=16 * len(perturber.fitted.genes) * (1 + len(doses)) * 7):
        sizes = [len(rows) for rows, _, _ in perturber.doses(genes[:1], doses, mixture=mixture)]
    assert max(sizes) == 7 and sum(sizes) == len(perturber.rows)


@pytest.mark.parametrize("mixture", [False, True])
def test_what_is_said_of_a_cell_does_not_depend_on_which_others_are_chosen(perturber, genes, mixture):
    chosen = np.zeros(perturber.adata.n_obs, dtype=bool)
    chosen[perturber.rows[5::3]] = True
    ((_, _, whole),) = perturber.pairs(genes[:1], 0.6, mixture=mixture)
    for part in (perturber.among(chosen), open_perturber(perturber.adata, "dko", "rna", groups=chosen, device="cpu")):
        ((rows, _, after),) = part.pairs(genes[:1], 0.6, mixture=mixture)
        np.testing.assert_array_equal(rows, perturber.rows[5::3])
        np.testing.assert_allclose(after, whole[5::3], atol=1e-5)


@pytest.mark.parametrize("which", ["seen", "unseen"])
def test_genes_themselves_change_as_training_targets_do(which, perturber, genes):
    """Every knockdown lowers its own transcript, by what was measured of it or, unseen, by the others."""
    unseen = next(gene for gene in perturber.fitted.targets if gene not in genes)
    gene = genes[0] if which == "seen" else unseen
    ((_, before, after),) = perturber.pairs([gene])
    column = perturber.fitted.genes.index(gene)
    change, own = (after - before)[:, column], perturber.model.own[perturber.numbers[gene]]
    share = own / float(perturber.model.level[column])
    np.testing.assert_allclose(change, max(share, -1) * before[:, column], atol=1e-5)
    assert change.mean() < -0.05
    ((_, before, after),) = perturber.pairs([gene], 0.25)
    np.testing.assert_allclose((after - before)[:, column], max(0.25 * share, -1) * before[:, column], atol=1e-5)


def test_mean_effects_are_means_of_pairs(perturber, genes):
    effects = perturber.mean_effects([[genes[0]], [genes[1], genes[2]]])
    assert effects.shape == (2, 40) and effects.dtype == np.float32
    for members, effect in zip(([genes[0]], genes[1:3]), effects, strict=True):
        ((_, before, after),) = perturber.pairs(members)
        np.testing.assert_allclose(effect, (after - before).mean(axis=0), atol=1e-5)
    with dko.settings.override(memory_budget=1):
        np.testing.assert_allclose(perturber.mean_effects([[genes[0]]])[0], effects[0], atol=1e-5)


def test_some_of_the_cells(perturber):
    chosen = np.zeros(perturber.adata.n_obs, dtype=bool)
    chosen[perturber.rows[:5]] = True
    chosen[np.setdiff1d(np.arange(len(chosen)), perturber.rows)[:5]] = True
    part = perturber.among(chosen)
    np.testing.assert_array_equal(part.rows, perturber.rows[:5])
    assert part.values.shape == (5, 40)


def test_trained_perturbations_and_their_genes(perturber, genes):
    assert perturber.trained == {gene: [gene] for gene in sorted(genes)}


def test_groups_are_of_control_cells(_perturbed):
    mask = np.arange(_perturbed.n_obs) < 60
    rows = open_perturber(_perturbed, "dko", "rna", groups=mask).rows
    control = _perturbed.obs["perturbation"].to_numpy() == "control"
    np.testing.assert_array_equal(rows, np.flatnonzero(mask & control))
    with pytest.raises(ValueError, match="None of the chosen cells is a control cell"):
        open_perturber(_perturbed, "dko", "rna", groups=~control)


def test_cells_whose_label_is_missing_are_no_control_cells(_perturbed):
    adata = _perturbed.copy()
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(object)
    first = int(np.flatnonzero(adata.obs["perturbation"] == "control")[0])
    adata.obs.loc[adata.obs_names[first], "perturbation"] = None
    assert first not in open_perturber(adata, "dko", "rna").rows


def test_unknown_genes_are_refused(perturber):
    with pytest.raises(KeyError, match="No gene 'SOX2' .* It knows the 40 genes that have features"):
        perturber.shifts([["SOX2"]])


def test_a_gene_that_only_raw_has_is_told_to_be_there(_perturbed):
    adata = _perturbed.copy()
    adata.raw = ad.concat([adata, AnnData(np.ones((adata.n_obs, 1)), adata.obs, pd.DataFrame(index=["SOX2"]))], axis=1)
    for call in (dko.tl.virtual_ko, dko.get.effects):
        with pytest.raises(KeyError, match="'SOX2': in adata.raw but not in var_names, which has 40 of its 41 genes"):
            call(adata, ["SOX2"])


def test_a_control_that_nobody_has_any_more(_perturbed):
    adata = _perturbed.copy()
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str).replace("control", "ctrl")
    with pytest.raises(KeyError, match=r"No cell is 'control', .* obs\['perturbation'\], which has 'ctrl', 'gene_"):
        open_perturber(adata, "dko", "rna")


def test_genes_that_are_gone_are_named(_perturbed):
    with pytest.raises(KeyError, match="lacks 1 of the 40 genes of the fit: 'gene_0'"):
        open_perturber(_perturbed[:, 1:].copy(), "dko", "rna")


def test_other_models_are_told_apart(fitted, _perturbed):
    assert is_sccvae(_perturbed, "dko", "rna") and not is_sccvae(fitted, "dko", "rna")
    with pytest.raises(ValueError, match="holds a model of kind 'dko', and this needs one of 'sccvae'"):
        open_perturber(fitted, "dko", "rna")


def test_a_device_that_is_not_there(_perturbed):
    """T19."""
    with pytest.raises(ValueError, match="device='tpu9' cannot be used here"):
        open_perturber(_perturbed, "dko", "rna", device="tpu9")


@pytest.mark.parametrize("config", [Config(), PAPER], ids=["default", "paper"])
def test_a_configuration_comes_back_from_what_files_hold(config):
    """Lists, arrays and numpy scalars; what a later version has added keeps its default."""
    given = {name: value for name, value in vars(config).items() if value is not None}
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in listed.items()}
    arrays["dropout"], arrays["n_latent"] = np.float64(config.dropout), np.int64(config.n_latent)
    for stored in (given, listed, arrays):
        assert config_of(plain(stored)) == config
    assert config_of({"n_latent": 3, "a field of old": 1}) == Config(n_latent=3)


def test_values_are_read_as_the_fit_has_read_them(_perturbed):
    """Counts, normalised to the total of the fit, also for other cells."""
    adata = _perturbed.copy()
    adata.X = adata.layers["counts"]
    dko.tl.fit(adata, **FIT | {"max_steps": 5}, normalize=True)
    expected = open_perturber(adata, "dko", "rna")
    total = adata.uns["dko"]["params"]["target_sum"]
    counts = adata.X[expected.rows].toarray()
    by_hand = np.log1p(total * counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(expected.values.toarray(), by_hand, rtol=1e-5)
    few = adata[expected.rows[:3]].copy()
    np.testing.assert_allclose(open_perturber(few, "dko", "rna").values.toarray(), by_hand[:3], rtol=1e-5)


def test_the_control_is_found_whatever_the_type_of_the_column(_perturbed):
    for kind in (str, "category", "string"):
        adata = _perturbed.copy()
        adata.obs["perturbation"] = pd.Series(adata.obs["perturbation"].astype(str), dtype=kind)
        assert len(open_perturber(adata, "dko", "rna").rows) == 50


def test_many_sets_at_a_time_are_as_each_alone(perturber):
    genes = perturber.fitted.targets[:18]
    effects = perturber.mean_effects([[gene] for gene in genes], rng=2)
    for number in (0, 15, 16, 17):
        np.testing.assert_allclose(effects[number], perturber.mean_effects([[genes[number]]], rng=2)[0], atol=1e-5)


def test_some_of_the_cells_are_not_read_again(perturber, monkeypatch):
    values = perturber.values
    monkeypatch.delattr("dko._core.knockouts.read_log_values")
    part = perturber.among(np.isin(np.arange(perturber.adata.n_obs), perturber.rows[1:4]))
    np.testing.assert_array_equal(part.values.toarray(), values[1:4].toarray())
    assert part.model is perturber.model


def test_control_cells_of_two_empty_guides(_perturbed):
    """As the fit sorts them."""
    adata = _perturbed.copy()
    rows = open_perturber(adata, "dko", "rna").rows
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    adata.obs.loc[adata.obs_names[rows[:9]], "perturbation"] = "control+control"
    np.testing.assert_array_equal(open_perturber(adata, "dko", "rna").rows, rows)
