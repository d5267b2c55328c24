"""Whether genes are called on which no other gene depends: data sets in which every gene is permuted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.stats import chi2, false_discovery_control, kstest, t

from dko.models.dko import total
from dko.models.statistics import pair_test

from ..inputs import DATA
from ._models import DEFAULT
from ._row import Row, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._job import Job

_FILE = "pbmc3k_raw_annotated.h5ad"
FILES = (_FILE,)
REAL, SIMULATED = "PBMC 3k, permuted", "simulated, permuted"
N_SETS, _N_INTACT = 200, 20
_N_CELLS, _N_GENES, _MIN_CELLS, _ABUNDANT = 600, 300, 10, 60
# Genes per data set whose association with every other is tested, and cells in which two are expected to meet.
_N_PAIRS, _MEET = 5, 5
_RATE = 0.05
# p-values of genes of one data set, which are not independent of each other, that are pooled.
_THINNED = 5


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in [SIMULATED] if quick else [REAL, SIMULATED]:
        yield measure, {"data": data, "n_sets": 3 if quick else N_SETS}


def measure(data: str, n_sets: int) -> list[Row]:
    """Return the scores of all tests on permuted data sets, and how many genes they call on intact ones."""
    return list(_measure(data, n_sets))


def _measure(data: str, n_sets: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    draw = _simulated() if data == SIMULATED else _real()
    found: dict[str, list[np.ndarray]] = {name: [] for name in TESTS}
    power: dict[str, list[float]] = {name: [] for name in TESTS}
    pairs = []
    for number in range(n_sets):
        counts = draw(rng)
        if number < _N_INTACT:
            for name, test in TESTS.items():
                power[name].append(float((false_discovery_control(test(counts, rng)) <= _RATE).mean()))
        counts = _permuted(counts, rng)
        for name, test in TESTS.items():
            found[name].append(test(counts, rng))
        pairs.append(_pairs(counts, rng))
    for name in TESTS:
        yield from rows(data, [name], scores(found[name], rng) | {"called_intact": float(np.mean(power[name]))})
    yield from rows(data, [DEFAULT], {f"pair_{name}": value for name, value in scores(pairs, rng).items()})


def scores(p_values: list[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    """Score p-values of data sets in which there is nothing to find.

    Returns
    -------
    ``share``, of p-values below 0.05, and by how many standard deviations of a binomial distribution it is off,
    ``off``; ``share_01`` and ``share_001`` below 0.01 and 0.001; ``ks``, p-value of Kolmogorov and Smirnov of 5 genes
    of each data set; ``ks_sets``, share of data sets whose own such p-value is below 0.01; ``fdr``, share of data sets
    with anything called at a false discovery rate of 5 %, all of which is false.
    """
    pooled = np.concatenate(p_values)
    share = float((pooled < _RATE).mean())
    thinned = np.concatenate([rng.choice(one, min(_THINNED, len(one)), replace=False) for one in p_values])
    return {
        "share": share,
        "off": abs(share - _RATE) / np.sqrt(_RATE * (1 - _RATE) / len(pooled)),
        "share_01": float((pooled < 0.01).mean()),
        "share_001": float((pooled < 0.001).mean()),
        "ks": float(kstest(thinned, "uniform").pvalue),
        "ks_sets": float(np.mean([kstest(one, "uniform").pvalue < 0.01 for one in p_values])),
        "fdr": float(np.mean([false_discovery_control(one).min() <= _RATE for one in p_values])),
    }


def _real() -> Callable[[np.random.Generator], np.ndarray]:
    """Return how to draw cells of PBMC 3k with their most abundant genes and others at random."""
    cells = ad.read_h5ad(DATA / _FILE).X.tocsr()

    def draw(rng: np.random.Generator) -> np.ndarray:
        some = cells[rng.choice(cells.shape[0], _N_CELLS, replace=False)].toarray()
        seen = np.flatnonzero((some > 0).sum(0) >= _MIN_CELLS)
        abundant = seen[np.argsort(-some[:, seen].sum(0), kind="stable")[:_ABUNDANT]]
        others = rng.choice(np.setdiff1d(seen, abundant), _N_GENES - _ABUNDANT, replace=False)
        return some[:, np.concatenate([abundant, others])]

    return draw


def _simulated() -> Callable[[np.random.Generator], np.ndarray]:
    """Return how to draw overdispersed counts of cells of very different depth; one gene has a fifth of all counts."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        level = rng.lognormal(0, 1.5, _N_GENES)
        level[0] = level.sum() / 4
        depth = 450 * rng.lognormal(0, 0.5, (_N_CELLS, 1))
        # 30 genes are co-expressed, so that there is something to find before the genes are permuted.
        together = rng.gamma(2, 0.5, (_N_CELLS, 1))
        own = rng.gamma(2, 0.5, (_N_CELLS, _N_GENES))
        own[:, 1:31] *= together
        counts = rng.poisson(depth * level / level.sum() * own)
        return counts[:, (counts > 0).sum(0) >= _MIN_CELLS]

    return draw


def _permuted(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute every gene over the cells; cells in which nothing is left go."""
    counts = rng.permuted(counts, axis=0)
    return counts[counts.sum(1) > 0]


def _downstream(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Downstream impacts of total effects against those of permuted genes."""
    totals = counts.sum(1).astype(np.float64)
    return total.fit(_shares(counts), totals, rng, counts=True).p_values


def _without_counts(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the same of values that have been normalised, so that no counts are known."""
    return total.fit(_shares(counts), np.full(len(counts), 1e4), rng, counts=False).p_values


def _shares(counts: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((counts / counts.sum(1, keepdims=True)).astype(np.float32))


def _pairs(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return p-values of a few genes with all others that they are expected to meet in a few cells."""
    genes = rng.choice(counts.shape[1], _N_PAIRS, replace=False)
    seen = (counts > 0).sum(0)
    chosen = np.outer(seen[genes], seen) >= _MEET * len(counts)
    chosen[np.arange(_N_PAIRS), genes] = False
    return pair_test(sparse.csr_matrix(counts.astype(np.float32)), genes, 1)[1][chosen]


def _correlations(counts: np.ndarray) -> np.ndarray:
    shares = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    # Of a gene that no longer varies there is none.
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.nan_to_num(np.corrcoef(shares, rowvar=False))
    np.fill_diagonal(found, 0)
    return found


def _largest(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bonferroni on the p-values of Pearson correlations."""
    largest = np.abs(_correlations(counts)).max(1)
    n_free = len(counts) - 2
    p_values = 2 * t.sf(largest * np.sqrt(n_free / np.maximum(1 - largest**2, 1e-12)), n_free)
    return np.minimum(1, p_values * (counts.shape[1] - 1))


def _summed(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sum of squared Pearson correlations, taken as independent."""
    return chi2.sf(len(counts) * np.square(_correlations(counts)).sum(1), counts.shape[1] - 1)


TESTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    DEFAULT: _downstream,
    "no counts": _without_counts,
    "largest correlation": _largest,
    "sum of correlations": _summed,
}
