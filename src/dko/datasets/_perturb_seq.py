"""Cells of a simulated Perturb-seq screen, with the true effects beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core.verb import verb
from .._rng import RNG, generator
from . import _common
from ._common import poisson_counts, require, seed_noted

CONTROL = "control"
# Standard deviations: of module activities on their own, of log baselines of genes, of log library sizes.
_ACTIVITY, _BASELINE, _LIBRARY = 0.6, 1.0, 0.3
_LOADINGS = (0.3, 0.9)
_EDGES = (0.4, 0.8)


@verb
def perturb_seq(
    n_perturbations: int = 20,
    n_genes: int = 200,
    *,
    n_cells: int = 60,
    n_controls: int = 300,
    n_modules: int = 4,
    n_pairs: int = 0,
    n_without_effect: int = 0,
    density: float = 0.5,
    strength: tuple[float, float] = (0.5, 2.0),
    penetrance: float = 0.85,
    knockdown: float = 0.8,
    depth: float = 1_000,
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate a Perturb-seq screen of knockdowns whose effects run through modules of co-expressed genes.

    Every gene belongs to one module. The activities of the modules of a cell, a row vector, are

    .. math:: a = (\epsilon - \sum_t s_t \, \mathbf{1}_{m(t)}) (I - D)^{-1}

    with :math:`\epsilon` normal, D the strictly upper triangular matrix of effects of modules on each other, m(t) the
    module of a target t that is knocked down in this cell, and :math:`s_t` its strength. The log rate of a gene is its
    baseline plus its loading, which is positive, times the activity of its module, and the transcript of a target is
    lowered by `knockdown` besides. Counts are Poisson around the rates times the library size, which varies.

    Parameters
    ----------
    n_perturbations
        Targets, each knocked down alone. They are spread evenly over the modules.
    n_genes, n_modules
        Number of genes and modules.
    n_cells, n_controls
        Cells of each perturbation, and unperturbed cells.
    n_pairs, n_without_effect
        Pairs of these targets, drawn at random, that are also knocked down together, ``"A+B"``; targets of strength 0.
    density
        Probability that a module acts on a later one, by 0.4 to 0.8 per unit of its activity, up or down.
    strength
        Range from which strengths are drawn, uniformly; activities that nothing acts on have standard deviation 0.6.
    penetrance, knockdown
        Share of the cells of a perturbation that are affected, the others being like control cells; share of its own
        transcript that a target loses in these, below 1.
    depth
        Counts per control cell, about.
    rng
        Seed or generator. The number of cells leaves the effects as they are.

    Returns
    -------
    AnnData of cells x genes, the cells in random order, with

    ``X``, ``layers["counts"]``
        Normalised to the median total and log1p-transformed, and the counts, CSR, float32.
    ``obs["perturbation"]``, ``obs["affected"]``, ``var["module"]``
        ``"control"``, a gene or ``"A+B"``; whether the cell is affected; module of each gene.
    ``varm["effect"]``
        Mean over the cells of a perturbation of the change of the log rate (natural logarithm, before library size),
        escaping cells included: DataFrame, genes x perturbations, float32. That of a pair is the sum of both.
    ``uns["perturb_seq"]``
        ``"strength"`` (DataFrame, one row per target), ``"network"`` (D, modules x modules) and ``"params"``.

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> screen.shape
    (780, 60)
    >>> screen.obs["perturbation"].value_counts().head(2)
    perturbation
    control    300
    gene_5      60
    Name: count, dtype: int64
    """
    import scanpy as sc

    least, largest = strength
    n_possible = n_perturbations * (n_perturbations - 1) // 2
    within = f"give at least 1 and at most n_genes={n_genes}"
    require(1 <= n_perturbations <= n_genes, f"n_perturbations is {n_perturbations}: {within}")
    require(n_modules <= n_genes, f"n_modules is {n_modules}: {within}")
    require(0 <= n_pairs <= n_possible, f"n_pairs is {n_pairs}: {n_perturbations} targets have {n_possible} pairs")
    most = f"give at most n_perturbations={n_perturbations}"
    require(n_without_effect <= n_perturbations, f"n_without_effect is {n_without_effect}: {most}")
    require(0 <= least <= largest < np.inf, f"strength is {strength}: give a range, the least first")
    for_genes, for_cells = generator(rng).spawn(2)
    names = pd.Index([f"gene_{i}" for i in range(n_genes)])
    # Genes in random order, but of the modules in turn.
    order = for_genes.permutation(n_genes)
    module, chosen = np.argsort(order) % n_modules, order[:n_perturbations]
    network, responses = _draw_modules(module, n_modules, density, for_genes)
    baseline = for_genes.normal(0, _BASELINE, n_genes)
    drawn = for_genes.uniform(*strength, n_perturbations)
    drawn[for_genes.permutation(n_perturbations)[:n_without_effect]] = 0.0
    targets = pd.DataFrame({"module": _named(module[chosen]), "strength": drawn}, index=names[chosen])
    shifts = _shifts(targets.index, -drawn[:, None] * np.eye(n_modules)[module[chosen]], n_pairs, for_genes)
    is_target = np.array([names.isin(label.split("+")) for label in shifts.index])
    # Changes of the log rates, perturbations x genes; the last row is that of cells without effect.
    change = np.vstack([shifts @ responses + np.log1p(-knockdown) * is_target, np.zeros(n_genes)])
    labels = for_cells.permutation(np.repeat([CONTROL, *shifts.index], [n_controls, *[n_cells] * len(shifts)]))
    affected = (labels != CONTROL) & (for_cells.random(len(labels)) < penetrance)
    number = np.where(affected, shifts.index.get_indexer(labels), -1)
    activity = for_cells.normal(0, _ACTIVITY, (len(number), n_modules))
    rate = np.exp(baseline + activity @ responses + change[number])
    rate *= depth / rate[labels == CONTROL].sum(axis=1).mean()
    counts = poisson_counts(rate * for_cells.lognormal(0, _LIBRARY, (len(rate), 1)), for_cells)
    adata = AnnData(
        counts.copy(),
        obs=pd.DataFrame(
            {"perturbation": pd.Categorical(labels, [CONTROL, *shifts.index]), "affected": affected},
            index=[f"cell_{i}" for i in range(len(labels))],
        ),
        var=pd.DataFrame({"module": pd.Categorical(_named(module))}, index=names),
        layers={"counts": counts},
    )
    effects = (penetrance * change[:-1]).T.astype(np.float32)
    adata.varm["effect"] = pd.DataFrame(effects, index=names, columns=shifts.index)
    numbers = {"penetrance": penetrance, "knockdown": knockdown, "depth": depth}
    params = {name: float(number) for name, number in numbers.items()} | {"rng": seed_noted(rng)}
    adata.uns[_common.PERTURB_SEQ] = {"strength": targets, "network": network, "params": params}
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def _draw_modules(
    module: np.ndarray, n_modules: int, density: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return D, and the change of the log rates per unit of a module, through all modules: modules x genes."""
    shape = (n_modules, n_modules)
    weights = rng.uniform(*_EDGES, shape) * rng.choice([-1.0, 1.0], shape)
    network = np.triu(weights * (rng.random(shape) < density), k=1)
    loadings = np.eye(n_modules)[:, module] * rng.uniform(*_LOADINGS, len(module))
    return network, np.linalg.solve(np.eye(n_modules) - network, loadings)


def _shifts(targets: pd.Index, alone: np.ndarray, n_pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return how each perturbation, singles before pairs, shifts the activity of each module directly."""
    first, second = np.triu_indices(len(targets), k=1)
    drawn = rng.permutation(len(first))[:n_pairs]
    first, second = first[drawn], second[drawn]
    pairs = ["+".join(sorted(pair)) for pair in zip(targets[first], targets[second], strict=True)]
    return pd.DataFrame(np.vstack([alone, alone[first] + alone[second]]), index=[*targets, *pairs])


def _named(modules: np.ndarray) -> list[str]:
    return [f"module_{module}" for module in modules]
