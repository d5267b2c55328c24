"""What is known of genes beside the cells: a network of regulation, or effects that were measured elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Size of what a network adds to the effects of a gene, relative to these: by its targets, and by what they do in turn.
# Chosen by leaving out each set of cells of the benchmark in turn (docs/accuracy.md).
_NETWORK = 0.3
# Weight of measured effects in their mean with those that the cells give.
_MEASURED = 0.5
# No single target moves by more than this many times the typical effect of the gene.
_LARGEST = 2.0
# Genes that fewer cells have count as if these did.
_LEAST_SHARE = 0.02
_TINY = 1e-12


@dataclass(frozen=True)
class Prior:
    """What the loss of some genes is known to do."""

    genes: np.ndarray  # of which something is known (k,)
    # By how much the log of the share of every gene falls when each of these is lost (k x genes), NaN where nothing is
    # known. Of a network the sign and the ratios of the weights are used, not their size.
    falls: np.ndarray
    measured: bool  # whether these are measured effects, and not a network

    @property
    def weight(self) -> float:
        """How much it counts beside the cells."""
        return _MEASURED if self.measured else _NETWORK


def with_prior(influence: np.ndarray, prior: Prior, share: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """Return the map with what is known, a copy in which columns of other genes are as they were.

    Measured effects are averaged with those of the map. A network has no sizes: its row and the row of the map are
    brought to the same one. Half of what it adds are the effects of the targets themselves, by which it reaches what is
    not in the network. It counts less where cells lack the gene altogether and at random: they show what its loss does.

    `share` is that of the cells that have each gene, `zeros` that of its zeros which were only not sampled, or are
    regulated.
    """
    data = influence[:, prior.genes].T
    if prior.measured:
        found = np.where(np.isnan(prior.falls), data, (1 - prior.weight) * data + prior.weight * prior.falls)
    else:
        added = _of_network(influence, prior, np.maximum(share, _LEAST_SHARE))
        found = data + zeros[prior.genes, None] * added
    places = np.arange(len(prior.genes))
    found[places, prior.genes] = data[places, prior.genes]
    changed = influence.copy()
    changed[:, prior.genes] = found.T
    return changed


def agreement(influence: np.ndarray, prior: Prior) -> float:
    """Return the share of what is known of which the map has the same sign; one half is chance."""
    data, known = influence[:, prior.genes].T, np.nan_to_num(prior.falls)
    same = (np.sign(data) == np.sign(known))[known != 0]
    return float(same.mean()) if same.size else 0.5


def _of_network(influence: np.ndarray, prior: Prior, share: np.ndarray) -> np.ndarray:
    edges = np.nan_to_num(prior.falls)
    targets = np.flatnonzero(edges.any(axis=0))
    of_targets = influence[:, targets].T.astype(np.float64)
    of_targets[np.arange(len(targets)), targets] = 0
    onward = edges[:, targets] @ (of_targets / _size(of_targets, share))
    onward[np.arange(len(edges)), prior.genes] = 0
    size = _size(influence[:, prior.genes].T, share)
    direct = np.clip(prior.weight * edges * share / _size(edges, share), -_LARGEST, _LARGEST) / share
    return size * (direct + prior.weight * onward / _size(onward, share))


def _size(effects: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the root mean square of the effects of each gene, as all cells show them (column)."""
    return np.maximum(np.sqrt(np.mean((effects * share) ** 2, axis=1, keepdims=True)), _TINY)
