"""Graphs between latent dimensions: which may act on which, as strictly upper triangular masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def full_mask(n: int) -> np.ndarray:
    """Return the mask in which each dimension acts on all later ones (n x n, boolean)."""
    return np.triu(np.ones((n, n), dtype=bool), k=1)


def random_mask(n: int, density: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask that holds a random share of the edges of the full one."""
    return full_mask(n) & (rng.random((n, n)) < density)


def acyclic_order(weights: ArrayLike) -> np.ndarray:
    """Order the nodes of a weighted directed graph so that few edges point backwards.

    Parameters
    ----------
    weights
        n x n; entry [i, j] is how strong the edge from i to j is, 0 where there is none. The diagonal is ignored.

    Returns
    -------
    The nodes, from first to last.

    Notes
    -----
    The greedy heuristic of Eades, Lin and Smyth (Information Processing Letters 47, 1993): sinks go to the end, sources
    to the beginning, and when there are neither, the node with the largest difference of what goes out and what comes
    in goes to the beginning. A graph without cycles keeps all its edges.
    """
    left = np.abs(np.array(weights, dtype=np.float64))
    np.fill_diagonal(left, 0.0)
    remaining = np.ones(len(left), dtype=bool)
    first: list[int] = []
    last: list[int] = []
    for _ in range(len(left)):
        out, into = left.sum(axis=1), left.sum(axis=0)
        sinks = np.flatnonzero(remaining & (out == 0))
        sources = np.flatnonzero(remaining & (into == 0))
        if len(sinks):
            node = int(sinks[-1])
            last.append(node)
        else:
            surplus = np.where(remaining, out - into, -np.inf)
            node = int(sources[0]) if len(sources) else int(surplus.argmax())
            first.append(node)
        remaining[node] = False
        left[node] = left[:, node] = 0.0
    return np.array(first + last[::-1], dtype=int)


def ordered_mask(weights: ArrayLike, n_free: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Make a graph between genes a mask.

    Parameters
    ----------
    weights
        As in :func:`acyclic_order`.
    n_free
        Further dimensions without a name, on which all nodes may act.

    Returns
    -------
    order
        The nodes, from first to last: the dimensions of the mask.
    mask
        (n + n_free) x (n + n_free), boolean, strictly upper triangular.
    dropped
        How many edges pointed backwards and were left out.
    """
    edges = np.array(weights) != 0
    np.fill_diagonal(edges, False)
    order = acyclic_order(np.where(edges, weights, 0.0))
    n = len(order)
    mask = full_mask(n + n_free)
    mask[:n, :n] &= edges[np.ix_(order, order)]
    return order, mask, int(edges.sum() - mask[:n, :n].sum())


def effect_graph(effects: np.ndarray, columns: np.ndarray, *, threshold: float = 3.0) -> np.ndarray:
    """Return a graph between target genes from what their perturbations do to each other's expression.

    Parameters
    ----------
    effects
        Perturbations x genes: change of the mean, in standard errors.
    columns
        Column of the target of each perturbation.
    threshold
        Least absolute value of an edge.

    Returns
    -------
    Perturbations x perturbations: the effect on each other's target, 0 below the threshold and on the diagonal.
    """
    among = effects[:, columns].copy()
    np.fill_diagonal(among, 0.0)
    among[np.abs(among) < threshold] = 0.0
    return among
