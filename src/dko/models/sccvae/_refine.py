"""The last word on the shifts of a trained network: the effects in all cells that it may see."""

from __future__ import annotations

import numpy as np
import torch

from ._cells import NEITHER, Cells
from ._network import Network

# Control cells that an effect is predicted in, steps of the optimiser, and perturbations decoded at a time.
_N_CELLS, _N_STEPS, _BLOCK = 64, 40, 16


def both(training: Cells, validation: Cells) -> Cells:
    """Return the cells of both, which share their values."""
    perturbation = np.where(training.perturbation == NEITHER, validation.perturbation, training.perturbation)
    return Cells(training.values, perturbation, training.members)


def refine_shifts(network: Network, seen: Cells, columns: np.ndarray, device: torch.device) -> None:
    """Fit the free shifts once more, in place, to the measured effects, with the rest of the network as it is.

    Steps with batches leave them where chance has put them last, and have not seen the validation cells.

    Parameters
    ----------
    network
        With the code ``"neighbours"``, on `device`.
    seen
        Control and perturbed cells.
    columns
        Column of each target, -1 for those that are not measured; what becomes of a target itself does not count.
    """
    means = torch.from_numpy(seen.means()).to(device)
    effects = means[1:] - means[0]
    numbers = np.unique(seen.perturbation[seen.perturbation >= 0])
    members = torch.from_numpy(seen.members[numbers].astype(np.float32)).to(device)
    counted = torch.ones_like(effects)
    measured = torch.from_numpy(np.flatnonzero(columns >= 0)).to(device)
    counted[:, torch.from_numpy(columns[columns >= 0]).to(device)] = 1 - members[:, measured]
    control = seen.control
    some = control[np.linspace(0, len(control) - 1, min(_N_CELLS, len(control))).astype(int)]
    with torch.no_grad():
        latent = network.encode(torch.from_numpy(seen.values[some].toarray()).to(device))[0]
        propagated = network.propagation()
        before = network.decode(latent, propagated).mean(dim=0)
    optimizer = torch.optim.LBFGS([network.codes], max_iter=_N_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        total = torch.zeros((), device=device)
        for rows in torch.arange(len(effects), device=device).split(_BLOCK):
            shifts = members[rows] @ network.shifts()
            change = network.decode(latent + shifts[:, None], propagated).mean(dim=1) - before
            loss = (counted[rows] * (change - effects[rows])).square().sum()
            loss.backward()
            total += loss.detach()
        return total

    optimizer.step(closure)
