from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from scipy import sparse

import dko

from .conftest import effects_of, fit, same_weights


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


def explicit_zeros(x):
    rows, columns = np.indices(x.shape).reshape(2, -1)
    return sparse.csr_matrix((x.toarray().ravel(), (rows, columns)), shape=x.shape)


TYPES = {
    "ndarray": lambda x: x.toarray(),
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "explicit zeros": explicit_zeros,
    "dask in columns": lambda x: da.from_array(x.toarray(), chunks=(100, 7)),
}


@pytest.fixture(scope="session")
def of_csr(_perturbed, singles):
    """Weights and a predicted layer of a fit on CSR, and that one after the fit."""
    adata = _perturbed.copy()
    found = fit(adata)
    dko.tl.virtual_ko(adata, singles[0])
    return found, np.asarray(adata.layers[f"dko_ko_{singles[0]}"])


@pytest.mark.parametrize("kind", TYPES)
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
    assert "counts, normalised to one total and logged" in capsys.readouterr().err
    by_hand = perturbed.copy()
    by_hand.X = sparse.csr_matrix(
        np.log1p(counts.X.toarray() * (found["params"]["target_sum"] / totals)[:, None]).astype(np.float32)
    )
    same_weights(fit(by_hand, test_fraction=0.2), found, 1e-4)
