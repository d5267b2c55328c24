"""Shifts come as near to the measured effects as the decoder lets them, whatever training has left."""

from __future__ import annotations

import copy

import numpy as np
import torch

from dko.models.sccvae._cells import NEITHER
from dko.models.sccvae._refine import both, refine_shifts


def test_both_has_the_cells_of_either(screen):
    seen = both(screen.training, screen.validation)
    assert len(seen) == len(screen.training) + len(screen.validation)
    used = np.flatnonzero(screen.validation.perturbation != NEITHER)
    np.testing.assert_array_equal(seen.perturbation[used], screen.validation.perturbation[used])
    assert seen.values is screen.training.values


def distance(network, seen, columns):
    """Squared distance of decoded from measured effects in all control cells, without the targets."""
    means = seen.means()
    cells = torch.from_numpy(seen.values[seen.control].toarray())
    with torch.no_grad():
        latent, propagated = network.encode(cells)[0], network.propagation()
        before = network.decode(latent, propagated).mean(dim=0)
        shifts = torch.from_numpy(seen.members.astype(np.float32)) @ network.shifts()
        after = torch.stack([network.decode(latent + shift, propagated).mean(dim=0) for shift in shifts])
    change = (after - before).numpy() - (means[1:] - means[0])
    for row, targets in zip(change, seen.members, strict=True):
        row[columns[targets]] = 0
    return (change**2).sum()


def test_it_finds_the_shifts_again(model, screen):
    network, seen, columns = copy.deepcopy(model.network), both(screen.training, screen.validation), screen.targets
    fitted = distance(network, seen, columns)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        network.codes.zero_()
    nothing = distance(network, seen, columns)
    refine_shifts(network, seen, columns, torch.device("cpu"))
    assert distance(network, seen, columns) < min(0.3 * nothing, 1.1 * fitted)
    for name, value in network.state_dict().items():
        if name != "codes":
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)
