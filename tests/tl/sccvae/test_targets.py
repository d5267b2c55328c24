from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from .conftest import effects_of, fit


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
