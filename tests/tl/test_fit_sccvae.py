"""Fits of the model of perturbations, of a small simulated screen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import dko

from ..conftest import PERTURB_SEQ, TYPES

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


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        (1, "Held out: 1 perturbation, to score with dko.tl.evaluate."),
        (0, "hold some out, holdout=[...], and run dko.tl.evaluate."),
    ],
)
def test_the_message_says_how_good_it_is_and_what_comes_next(perturbed, singles, capsys, held_out, says):
    fit(perturbed, holdout=singles[:held_out])
    said = capsys.readouterr().err
    found = re.search(
        r"Fitted 1 model of . perturbations of . genes on \w+: in validation cells, .* at (\S+) with", said
    )
    assert found and abs(float(found[1])) <= 1 and says in said


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


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"perturbation_key": None, "control": None}, ValueError, "perturbation_key=... and control=..."),
        ({"control": None}, ValueError, "needs control=..."),
        ({"perturbation_key": "guide"}, KeyError, "No column 'guide' in adata.obs"),
        ({"control": "NT"}, KeyError, "No value 'NT' in .*There are 'control', 'gene_"),
        ({"holdout": ["nobody"]}, KeyError, "No perturbation 'nobody'"),
        ({"test_controls": 0.8}, ValueError, "at least 20 control cells, got 12"),
        ({"min_cells": 26}, ValueError, "at least 2 perturbations to train on, got 0 of 7 .7 of too few cells"),
        ({"strength": "oracle"}, TypeError, "takes no strength=..."),
        ({"code": "free"}, ValueError, "code='free' must be one of"),
        ({"n_latnet": 3}, TypeError, "dko.tl.fit takes no n_latnet=...; did you mean n_latent"),
        ({"speed": 3}, TypeError, "it takes adata, .*normalize, .*n_latent.*n_members"),
        ({"batch_size": 7}, ValueError, "batch_size=7 must be at least 8: 2 cells of each of 4 groups"),
        ({"normalize": True}, ValueError, "normalize=True is for counts"),
        ({"layer": "counts"}, ValueError, "layers\\['counts'\\] holds counts, .*normalize=True"),
        ({"hidden": 16}, ValueError, "hidden=16 must list the widths"),
        ({"n_latent": 0}, ValueError, "n_latent=0 must be a whole number, at least 1"),
        ({"min_cells": 1}, ValueError, "min_cells=1 must be at least 2"),
        ({"device": "tpu9"}, ValueError, "device='tpu9' cannot be used here .*; use 'auto' or 'cpu'"),
    ],
)
def test_what_cannot_be_fitted(changed, error, message, perturbed, unchanged):
    """T9: one sentence that says what is wrong and what to do; the cells stay as they are."""
    with unchanged(perturbed), pytest.raises(error, match=message):
        fit(perturbed, **changed)


def test_control_cells_that_are_kept_apart_play_no_part(perturbed):
    apart = fit(perturbed, test_controls=0.25)
    of_test = (perturbed.obs["dko_split"] == "test").to_numpy()
    assert of_test.sum() == 15 and (perturbed.obs.loc[of_test, "perturbation"] == "control").all()
    other = perturbed.copy()
    values = other.X.toarray()
    values[of_test] *= 0.5
    other.X = sparse.csr_matrix(values)
    same_weights(apart, fit(other, test_controls=0.25))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_fits_much_the_same(perturbed, singles):
    """T19, T16: what was fitted on the GPU predicts on the CPU."""
    fit(perturbed, device="cpu", n_members=2)
    expected = effects_of(perturbed, singles)
    fit(perturbed, device="cuda", n_members=2)
    assert np.corrcoef(effects_of(perturbed, singles).ravel(), expected.ravel())[0, 1] > 0.99


@pytest.fixture(scope="session")
def of_csr(_perturbed, singles):
    """Weights and a predicted layer of a fit on CSR, and that one after the fit."""
    adata = _perturbed.copy()
    found = fit(adata)
    dko.tl.virtual_ko(adata, singles[0])
    return found, np.asarray(adata.layers[f"dko_ko_{singles[0]}"])


@pytest.mark.parametrize("kind", ["ndarray", "csc_matrix", "csr_array", "explicit zeros", "dask"])
def test_array_types_train_the_same(kind, perturbed, singles, of_csr):
    """T11."""
    perturbed.X = TYPES[kind](perturbed.X)
    found = fit(perturbed)
    same_weights(found, of_csr[0], 1e-6)
    dko.tl.virtual_ko(perturbed, singles[0])
    np.testing.assert_allclose(perturbed.layers[f"dko_ko_{singles[0]}"], of_csr[1], atol=1e-5)


def test_cells_that_do_not_fit_into_memory_train_the_same(perturbed, singles, of_csr):
    with dko.settings.override(memory_budget=1):
        found = fit(perturbed)
        dko.tl.virtual_ko(perturbed, singles[0])
    # The sums that features are made of are taken in another order.
    same_weights(found, of_csr[0], 1e-3)
    np.testing.assert_allclose(perturbed.layers[f"dko_ko_{singles[0]}"], of_csr[1], atol=1e-3)


def test_counts_are_normalised_once(perturbed, capsys):
    """To the median total of the control cells, which the parameters keep."""
    counts = perturbed.copy()
    counts.X = counts.layers["counts"]
    found = fit(counts, normalize=True, test_fraction=0.2)
    training = (counts.obs["dko_split"] != "test") & (counts.obs["perturbation"] == "control")
    totals = np.asarray(counts.X.sum(axis=1)).ravel()
    assert found["params"]["target_sum"] == np.median(totals[training])
    assert "Values of X: taken as counts." in capsys.readouterr().err
    by_hand = perturbed.copy()
    by_hand.X = sparse.csr_matrix(
        np.log1p(counts.X.toarray() * (found["params"]["target_sum"] / totals)[:, None]).astype(np.float32)
    )
    same_weights(fit(by_hand, test_fraction=0.2), found, 1e-4)


def chain(genes):
    """A network in which each gene acts on the next."""
    return pd.DataFrame(np.diag(np.ones(len(genes) - 1), 1), index=genes, columns=genes)


def as_networkx(frame, genes):
    networkx = pytest.importorskip("networkx")
    return networkx.from_pandas_adjacency(frame, create_using=networkx.DiGraph)


@pytest.mark.parametrize("kind", [lambda frame, genes: frame, as_networkx], ids=["frame", "networkx"])
def test_a_network_of_genes(kind, perturbed, singles):
    """T1: targets have dimensions of their own, in whose graph no edge is that the network has not."""
    order = sorted(singles)[::-1]
    weights = fit(perturbed, graph=kind(chain(order), list(perturbed.var_names)))["weights"]
    targets = perturbed.uns["dko"]["targets"]
    node = pd.Series(weights["node"], index=targets)
    assert sorted(node[singles]) == list(range(6)) and (node.drop(singles) == -1).all()
    (mask,) = weights["network.mask"].astype(bool)
    assert mask.shape == (22, 22)
    assert {(a, b) for a in singles for b in singles if mask[node[a], node[b]]} == set(
        zip(order, order[1:], strict=False)
    )
    assert (weights["network.edges"][0][mask] != 0).all()


def features_in(found):
    return pd.DataFrame(found["weights"]["features"], index=found["targets"])


def test_features_are_found_by_name(perturbed):
    """T4: in whatever order the genes are, those of a gene are the same, up to the sign of a component."""
    expected = features_in(fit(perturbed))
    turned = perturbed[:, np.random.default_rng(0).permutation(40)].copy()
    found = features_in(fit(turned)).loc[expected.index]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_features_are_the_components_of_control_cells(perturbed, code):
    """T4: rows of the singular value decomposition; each component of spread 1 where genes are compared by them."""
    fit(perturbed, features="pca", n_components=4, test_fraction=0.2, code=code)
    training = (perturbed.obs["dko_split"] != "test") & (perturbed.obs["perturbation"] == "control")
    x = perturbed[training.to_numpy()].X.toarray()
    _, size, loadings = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    scores = loadings[:4].T * size[:4]
    found = perturbed.uns["dko"]["weights"]["features"]
    assert found.dtype == np.float32 and found.shape == (40, 4)
    expected = scores / scores.std(axis=0) if code == "neighbours" else scores
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-2)


def test_features_of_the_user(perturbed, singles):
    """By name, of genes that are not measured as well."""
    genes = [*singles, "lncRNA-7"]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(7, 3)), index=genes)
    first = fit(perturbed, features=table)
    assert first["targets"] == genes and first["params"]["features"] == "given"
    unmeasured = effects_of(perturbed, ["lncRNA-7"])
    assert np.isfinite(unmeasured).all()
    turned = fit(perturbed, features=table.iloc[::-1])
    assert turned["targets"] == genes[::-1]
    for name in first["weights"]:
        if name.startswith("network."):
            np.testing.assert_array_equal(turned["weights"][name], first["weights"][name])


def test_a_target_that_is_not_measured_needs_features(perturbed, singles, caplog):
    """T9: it is left out, and the message names it; given features, it takes part."""
    part = perturbed[:, perturbed.var_names != singles[0]].copy()
    pair = next(label for label in perturbed.varm["effect"] if "+" in label)
    found = fit(part)
    role = found["perturbations"].set_index("perturbation")["role"]
    out = {singles[0]} | ({pair} if singles[0] in pair.split("+") else set())
    assert set(role.index[role == "dropped"]) == out
    assert f"'{singles[0]}'" in caplog.text and "have no features" in caplog.text
    caplog.clear()
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), index=singles)
    found = fit(part, features=table)
    assert (found["perturbations"]["role"] == "trained").all()
    assert "have no features" not in caplog.text
    assert np.isfinite(effects_of(part, [singles[0]])).all()


GENES = [f"gene_{i}" for i in range(40)]
ONES = pd.DataFrame(np.ones((40, 2)), index=GENES)
WHOLE = pd.DataFrame(0.0, index=GENES, columns=GENES)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"graph": chain(["A", "B"])}, "shares no gene with the perturbations that are trained on"),
        ({"graph": pd.DataFrame(np.eye(2), list("AB"), list("BA"))}, "the same genes, in the same order"),
        ({"graph": "complete"}, "graph='complete' must be 'full'"),
        ({"graph": WHOLE + np.nan}, "missing or infinite weights"),
        ({"graph": WHOLE.rename({"gene_0": "gene_1"}, axis=0).rename({"gene_0": "gene_1"}, axis=1)}, "more than once"),
        ({"features": "umap"}, "features='umap' must be 'influence', 'pca', 'onehot' or a DataFrame"),
        ({"features": pd.concat([ONES, ONES[:1]])}, "names a gene more than once"),
        ({"features": ONES.replace(1.0, np.nan)}, "missing or infinite values for 'gene_"),
        ({"features": ONES.assign(kind="kinase")}, "columns that hold no numbers: 'kind'"),
    ],
)
def test_graphs_and_features_that_cannot_be_used(how, message, perturbed):
    with pytest.raises(ValueError, match=message):
        fit(perturbed, **how)
