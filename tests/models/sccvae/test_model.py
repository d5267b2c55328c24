from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from dko.models.sccvae import model_of, shapes_of
from dko.models.sccvae._model import own_dimensions


def noise_of(cells, model, seed=0):
    return torch.randn(len(cells), model.config.n_latent, generator=torch.Generator().manual_seed(seed))


def test_no_shift_is_no_change(model, control):
    """T3: with the same noise; penetrance 0 or strength 0."""
    shift = model.shifts(np.array([3]))
    found = model.changes(control, torch.cat([0.0 * shift, shift]), noise_of(control, model))
    torch.testing.assert_close(found[0], torch.zeros_like(control), atol=1e-6, rtol=0)
    assert found[1].abs().max() > 1e-3
    of_no_strength = replace(model, strength=np.zeros(40, dtype=np.float32))
    unseen = np.flatnonzero(model.trained < 0)[:2]
    assert (of_no_strength.shifts(unseen) == 0).all()


def test_displacement_is_linear_in_the_dose(model, screen):
    """T5: a part of a shift is that part of the displacement of the causal variables, in every cell."""
    shift, propagation = model.shifts(screen.targets[:1]), model.network.propagation()
    whole = model.propagated(shift)
    for dose in (0.0, 0.25, 0.7, 1.0):
        torch.testing.assert_close((dose * shift) @ propagation, dose * whole)


def test_changes_are_between_two_decoded_cells_of_one_draw(model, control, screen):
    """4.5 of the method: what the decoder gets wrong in any cell cancels."""
    noise, shift = noise_of(control, model), model.shifts(screen.targets[:1])
    with torch.no_grad():
        mean, variance = model.network.encode(control)
        latent, propagation = mean + variance.sqrt() * noise, model.network.propagation()
        expected = model.network.decode(latent + shift, propagation) - model.network.decode(latent, propagation)
    torch.testing.assert_close(model.changes(control, shift, noise)[0], expected)


def test_changes_of_several_shifts_are_those_of_each(model, control):
    noise, shifts = noise_of(control, model), model.shifts(np.arange(5))
    together = model.changes(control, shifts, noise)
    assert together.shape == (5, 12, 40)
    for one, shift in zip(together, shifts, strict=True):
        torch.testing.assert_close(one, model.changes(control, shift[None], noise)[0], atol=1e-5, rtol=1e-5)


def test_without_noise_the_mean_of_the_posterior_is_decoded(model, control):
    shifts = model.shifts(np.arange(2))
    of_mean = model.changes(control, shifts, torch.zeros(12, model.config.n_latent))
    torch.testing.assert_close(model.changes(control, shifts, None), of_mean)


def test_trained_targets_have_their_own_shift_and_others_that_of_their_features(model, screen):
    """T7, T8: what is not trained on is never read from an entry that was not trained."""
    np.testing.assert_array_equal(model.shifts(screen.targets), model.network.shifts().detach())
    louder = replace(model, strength=model.strength * 3)
    np.testing.assert_array_equal(louder.shifts(screen.targets), model.shifts(screen.targets))
    torch.testing.assert_close(louder.shifts(screen.unseen), 3 * model.shifts(screen.unseen))
    assert (model.shifts(screen.unseen).norm(dim=1) > 1e-3).all()
    assert torch.isfinite(model.shifts(np.arange(40))).all()


def test_shifts_are_asked_for_in_any_order(model):
    genes = np.array([7, 0, 7, 39])
    torch.testing.assert_close(model.shifts(genes), model.shifts(np.arange(40))[torch.from_numpy(genes)])


def test_propagated_shifts_go_through_the_graph(model):
    shifts = model.shifts(np.arange(40))
    expected = shifts.double() @ torch.linalg.inv(torch.eye(8).double() - model.network.graph().detach().double())
    torch.testing.assert_close(model.propagated(shifts).double(), expected, atol=1e-5, rtol=1e-5)


def test_prediction_keeps_no_graph_of_gradients(model, control):
    assert not model.changes(control, model.shifts(np.array([0])), None).requires_grad
    assert not model.propagated(model.shifts(np.array([0]))).requires_grad


@pytest.mark.parametrize("code", ["neighbours", "unit", "softmax"])
def test_arrays_are_all_that_is_needed(code, fitted, control):
    """T1, T16: the mask among them; predictions are identical."""
    model, _ = fitted(code=code)
    arrays = model.arrays
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = model_of(model.config, {name: array.copy() for name, array in arrays.items()})
    genes = np.arange(40)
    noise = noise_of(control, model)
    assert torch.equal(again.network.mask, model.network.mask)
    assert torch.equal(again.shifts(genes), model.shifts(genes))
    assert torch.equal(
        again.changes(control, again.shifts(genes), noise), model.changes(control, model.shifts(genes), noise)
    )
    assert torch.equal(again.propagated(again.shifts(genes)), model.propagated(model.shifts(genes)))


def test_arrays_of_version_0_1_0_are_read(model, control):
    """These have an offset of the decoder of their own, which is the same with and without a shift."""
    old = model_of(model.config, model.arrays | {"network.offset": np.full(40, 0.3, dtype=np.float32)})
    shifts = model.shifts(np.arange(3))
    torch.testing.assert_close(old.changes(control, shifts, None), model.changes(control, shifts, None))


def test_torch_loads_the_weights_without_pickled_code(model):
    """T16: weights_only=True."""
    file = io.BytesIO()
    torch.save(model.network.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert torch.equal(state["mask"], model.network.mask)
    model.network.load_state_dict(state)


def test_making_a_model_leaves_the_random_state_alone(model):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model_of(model.config, model.arrays)
    assert torch.equal(torch.get_rng_state(), before)


def test_dimensions_of_genes():
    found = own_dimensions(np.array([2, -1, 0]), 3)
    assert found.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_predicts_the_same(model, control):
    """T19, T16: a model on the GPU comes back as arrays, and predicts what the CPU does."""
    on_gpu = model_of(model.config, model.arrays).to(torch.device("cuda"))
    genes, noise = np.arange(40), noise_of(control, model)
    found = on_gpu.changes(control.cuda(), on_gpu.shifts(genes), noise.cuda()).cpu()
    torch.testing.assert_close(found, model.changes(control, model.shifts(genes), noise), atol=1e-4, rtol=1e-4)
    back = model_of(model.config, on_gpu.arrays)
    assert torch.equal(back.shifts(genes), model.shifts(genes))


@pytest.mark.parametrize("code", ["neighbours", "unit", "softmax"])
def test_shapes_are_known_without_a_model(code, fitted):
    found, _ = fitted(code=code, max_steps=1)
    n_features = found.features.shape[1]
    expected = {name: array.shape for name, array in found.arrays.items()}
    assert shapes_of(found.config, 40, 40, len(found.network.features), n_features) == expected
    with pytest.raises(ValueError, match="wider than 16,777,216"):
        shapes_of(replace(found.config, hidden=(2**40,)), 40, 40, 6, n_features)
