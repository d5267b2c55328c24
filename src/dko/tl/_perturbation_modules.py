"""Perturbations that do the same kind of thing."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import chosen_rows, some_cells, unwrap
from .._core.knockouts import open_model
from .._core.messages import drawn_of, listed, many, require_one_of, say
from .._core.names import TRAINED, perturbations
from .._core.scans import sums_of_parts
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ._modules import agreement, known_groups, markers_of, module_numbers, places, reduced, silhouettes

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Callable, Knockouts, Mapping, MuData, Predictor, Sequence

# Genes that are compared when the user names none; control cells that mean effects are predicted in.
_MOST, _N_CONTROLS = 500, 1_000
_N_COMPONENTS = 30


@verb
def perturbation_modules(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    basis: str | None = None,
    resolution: float = 1.0,
    groups: Mapping[str, str] | pd.Series | None = None,
    alpha: float = 0.05,
    n_null: int = 500,
    n_markers: int = 10,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    rng: RNG = 0,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Group perturbations by the kind of their effect, whatever its strength, and set apart those that have none.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`, of either model.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`. Of an SCCVAE also ones that were not measured; default: all that it
        was trained on. Otherwise by default the 500 genes in most cells, without those that have no effect.
    basis
        ``"latent"``, of an SCCVAE and its default: the shift of the latent state after the graph. ``"effect"``: the
        predicted mean change of all genes but the targets, in its principal directions: in at most 1,000 control cells
        or, of the first model, that of :func:`dko.get.effects` with ``centred=True``.
    resolution
        The higher, the more modules.
    groups
        What is known of perturbations, ``{perturbation: group}`` or a Series, to compare the modules with.
    alpha
        Perturbations with a larger ``p_effect`` have no effect.
    n_null
        Random groups of control cells that effects are compared with (SCCVAE).
    n_markers
        Genes that are named per module.
    %(fit)s
    %(compute)s
    %(rng)s
    %(written)s

    ``uns[f"{key}_modules"]``
        ``params`` and what follows; :func:`dko.get.modules` reads it, :func:`dko.pl.modules` draws it.
    ``table``
        DataFrame, a row per ``perturbation``: ``module`` (``"1"`` is the largest; ``"no effect"``), ``strength``
        (length in the basis), ``p_effect``, ``is_unseen`` (not trained on), ``n_cells`` (at the time of the fit, test
        cells too, 0 if unseen; of the first model the cells that express the gene), ``silhouette`` (by cosine; NaN
        without effect), ``umap_1``, ``umap_2`` and, with `groups`, ``group`` (``""`` if not known).
    ``markers``
        DataFrame: ``module``, ``gene``, mean predicted ``change`` in the module and in the ``others``, most different
        first, without the targets themselves.
    ``agreement``
        With `groups`, of perturbations that have an effect and a group, ``over`` ``"all"`` and, of an SCCVAE, over the
        ``"trained"`` ones, beside the ``"measured"`` mean changes of the same: ``ari`` and ``nmi`` (adjusted Rand
        index, normalised mutual information); ``neighbours``, ``neighbours_expected`` and ``neighbours_p`` of
        :func:`dko.metrics.neighbour_agreement`.
    ``vectors``
        float32, perturbations x dimensions of the basis.

    %(errors)s
        fewer than 2 perturbations; fewer than two known groups; a gene without cells.
    ImportError
        Leiden is not installed, and there are 15 perturbations or more.

    Notes
    -----
    Vectors are compared by their cosine: the graph of nearest neighbours and Leiden, or average linkage below 15
    perturbations with an effect. Modules and their numbers do not depend on the order of perturbations.

    Of an SCCVAE, ``p_effect`` is of the cells that it was trained on: is their mean as far from that of the control
    cells (in 30 principal components of these, of 20,000 at random where there are more, without the targets) as that
    of as many random control cells? Whatever else sets cells apart, such as a batch, counts as effect. Of an unseen
    perturbation the predicted change is compared with random groups of the median number of cells, in its direction.

    Of the first model it is the false discovery rate ``var[f"{key}_signal"]``; NaN, and so taken for an effect, where
    effects are direct ones. Mean effects are over the cells that express the gene: genes of one cell type tend to share
    a module.

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, model="sccvae", perturbation_key="perturbation", control="control", max_steps=100)
    >>> dko.tl.perturbation_modules(screen)
    >>> dko.get.modules(screen)["perturbation"].tolist()
    ['gene_29', 'gene_30', 'gene_39', 'gene_5', 'gene_55', 'gene_56', 'gene_7', 'gene_9']
    """
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, device=device)
    if basis is not None:
        require_one_of(("latent", "effect"), basis=basis)
    if n_null < (fewest := 1 / alpha - 1):
        raise ValueError(f"n_null={n_null} is too few for alpha={alpha}; take at least {math.ceil(fewest)}.")
    asked = cells.sets(genes) if genes is not None else cells.trained or _widespread(cells, alpha)
    if len(asked) < 2:
        raise ValueError(f"Modules are of several knockouts, got {len(asked)}; name at least two that have cells.")
    # Sorted, so that the order in which they are given does not matter.
    sets = {label: asked[label] for label in sorted(asked)}
    latent = cells.model.latent(cells.numbers(list(sets.values())))
    if basis == "latent" and latent is None:
        raise ValueError("basis='latent' is for a fit with model='sccvae'; this model has no latent space.")
    known = None if groups is None else known_groups(groups, list(sets), set(cells.model.targets))
    seed = int(generator(rng).integers(2**31))
    changes, facts, measured = (_in_a_screen if cells.trained else _in_unperturbed)(cells, sets, n_null, seed)
    latent = None if basis == "effect" else latent
    vectors = reduced(changes) if latent is None else latent.astype(np.float64)
    affects = ~(facts["p_effect"] > alpha)
    modules = np.full(len(sets), keys.NO_EFFECT, dtype=object)
    modules[affects] = module_numbers(vectors[affects], resolution, seed).astype(str)
    columns = {
        "perturbation": list(sets),
        "module": modules,
        "strength": np.linalg.norm(vectors, axis=1),
        **facts,
        "silhouette": silhouettes(vectors, modules),
        **dict(zip(("umap_1", "umap_2"), places(vectors, seed).T, strict=True)),
        **({} if known is None else {"group": known}),
    }
    basis = "effect" if latent is None else "latent"
    order = pd.Index(list(sets)).get_indexer(list(asked))
    own = without_targets(changes.astype(np.float64), list(sets.values()), cells.model.genes, np.nan)
    params = {"basis": basis, "resolution": resolution, "alpha": alpha, "n_null": n_null, "n_markers": n_markers}
    content: dict[str, Any] = {
        keys.PARAMS: params,
        keys.TABLE: pd.DataFrame(columns).iloc[order].reset_index(drop=True),
        keys.MARKERS: markers_of(pd.DataFrame(own, columns=cells.model.genes), modules, n_markers),
        keys.VECTORS: vectors[order].astype(np.float32),
    }
    if known is not None:
        compared = [(basis, "all", vectors[affects], modules[affects], known[affects])]
        there = np.isin(list(sets), list(measured)) & affects
        if there.any():
            raw = reduced(np.stack([measured[label] for label in np.array(list(sets))[there]]))
            compared += [
                (basis, "trained", vectors[there], modules[there], known[there]),
                ("measured", "trained", raw, module_numbers(raw, resolution, seed), known[there]),
            ]
        content[keys.AGREEMENT] = pd.DataFrame([agreement(*each, seed) for each in compared])
    write(unwrap(data, mod), uns={keys.modules(key): content})
    n_modules, n_without = len(set(modules[affects])), int((~affects).sum())
    without = f", {n_without:,} without an effect" if n_without else ""
    text = f"Grouped {many(len(asked), 'knockout')} by what they change: {many(n_modules, 'module')}{without}"
    say(f"{text}; see uns[{keys.modules(key)!r}].")
    return data if copy else None


# Mean changes, knockouts x genes, 0 at the genes that are knocked out, which say only that it has worked; what is known
# of each knockout, columns of the table; and, of a model of perturbations, the mean changes that it was trained on.
Effects: TypeAlias = tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]


def _widespread(cells: Predictor, alpha: float) -> dict[str, list[str]]:
    """Return the genes that have an effect on others, as far as is known, those in most cells first."""
    n_cells = pd.Series(sum(block.values.getnnz(axis=0) for block in cells.read(None)), cells.model.genes)
    usable = (n_cells > 0) & ~(_rates(cells, [[gene] for gene in cells.model.genes]) > alpha)
    return {gene: [gene] for gene in n_cells[usable].sort_values(ascending=False, kind="stable").index[:_MOST]}


def _rates(cells: Predictor, genes_of: list[list[str]]) -> np.ndarray:
    """Return the false discovery rate of the downstream impact of each set, the least of its genes; NaN if unknown."""
    if cells.fitted.signal is None:
        return np.full(len(genes_of), np.nan)
    rates = dict(zip(cells.model.genes, cells.fitted.signal.astype(float), strict=True))
    return np.array([min(rates[gene] for gene in genes) for genes in genes_of])


def _mean_changes(cells: Predictor, genes_of: list[list[str]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    (totals,), (n_cells,) = cells.effect_sums(genes_of, np.zeros(cells.adata.n_obs, dtype=int), 1, rng=seed)
    return totals / np.maximum(n_cells, 1)[:, None], n_cells


def _in_unperturbed(cells: Predictor, sets: dict[str, list[str]], _n_null: int, seed: int) -> Effects:
    """Of a model of unperturbed cells: over the cells that express the genes, less what all have in common."""
    genes_of = list(sets.values())
    changes, n_cells = _mean_changes(cells, genes_of, seed)
    if none := [label for label, n in zip(sets, n_cells, strict=True) if not n]:
        raise ValueError(
            f"No cell that has a model expresses {listed(none)}, so nothing is knocked out; leave them out."
        )
    # What all have in common would make them all of one kind.
    changes = changes - (changes.sum(0) - changes) / (len(changes) - 1)
    changes = without_targets(changes.astype(np.float32), genes_of, cells.model.genes)
    never = np.zeros(len(sets), dtype=bool)
    return changes, {"p_effect": _rates(cells, genes_of), "is_unseen": never, "n_cells": n_cells}, {}


def _in_a_screen(cells: Predictor, sets: dict[str, list[str]], n_null: int, seed: int) -> Effects:
    """Of a model of perturbations: in control cells, beside the cells that it was trained on."""
    table, genes_of = cells.fitted.table(keys.PERTURBATIONS), list(sets.values())
    table = table[table["role"] == TRAINED]
    n_trained = dict(zip(table["perturbation"].astype(str), table["n_cells"].astype(int), strict=True))
    rows = _rows(cells)
    measured, components, scores = _measured(cells, rows, seed)
    few = np.random.default_rng(seed).choice(cells.rows, min(len(cells.rows), _N_CONTROLS), replace=False)
    some = cells.among(np.isin(np.arange(cells.adata.n_obs), few))
    changes = without_targets(_mean_changes(some, genes_of, seed)[0].astype(np.float32), genes_of, cells.model.genes)
    # Of measured changes where there are, else of predicted ones.
    known = np.stack([measured.get(label, change) for label, change in zip(sets, changes, strict=True)])
    usual = dict.fromkeys(sets, int(np.median(list(n_trained.values()))))
    n_of = usual | n_trained | {label: len(there) for label, there in rows.items()}
    unseen = np.array([label not in n_trained for label in sets])
    null_of = partial(null_changes, scores, n_null=n_null, seed=seed)
    p_effect = p_values(known @ components, np.array([n_of[label] for label in sets]), unseen, null_of)
    n_cells = np.array([n_trained.get(label, 0) for label in sets])
    return changes, {"p_effect": p_effect, "is_unseen": unseen, "n_cells": n_cells}, measured


def _rows(cells: Predictor) -> dict[str, np.ndarray]:
    """Return the cells of each trained perturbation that the fit has seen, as far as they are there."""
    adata, fitted = cells.adata, cells.fitted
    column, control = fitted.params["perturbation_key"], fitted.params["control"]
    if column not in adata.obs:
        return {}
    labels = perturbations(adata, column, control, {*fitted.genes, *fitted.targets}).to_numpy()
    if keys.split(fitted.key) in adata.obs:
        seen = adata.obs[keys.split(fitted.key)].isin([keys.TRAIN, keys.VALIDATION]).to_numpy()
        labels = np.where(seen, labels, None)
    rows = {label: np.flatnonzero(labels == label) for label in cells.trained}
    return {label: some for label, some in rows.items() if len(some)}


def _measured(
    cells: Predictor, rows: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return mean changes of perturbations against control cells, 0 at their targets; directions; control cells.

    Directions are those in which these cells vary, genes x components, divided by the standard deviation of control
    cells; the last are control cells in these directions.
    """
    from sklearn.decomposition import PCA

    group_of = np.full(cells.adata.n_obs, -1)
    for number, some in enumerate((cells.rows, *rows.values())):
        group_of[some] = number
    used, n_genes, n_groups = group_of >= 0, len(cells.model.genes), 1 + len(rows)
    chosen = some_cells(used, np.random.default_rng(seed))
    if (n := int(chosen.sum())) < (n_used := int(used.sum())):
        say(f"Directions in which cells vary are those of {drawn_of(n, n_used, 'cell')}.")
    pca = PCA(min(_N_COMPONENTS, n - 1, n_genes - 1), svd_solver="arpack", random_state=seed)
    pca.fit(chosen_rows(cells.log_blocks(), chosen).astype(np.float64))
    sums, parts = np.zeros((n_groups, n_genes)), []
    for first, block in cells.log_blocks():
        group = group_of[first : first + block.shape[0]]
        sums += sums_of_parts(block[group >= 0], group[group >= 0], n_groups)
        parts.append(np.asarray(block[group == 0] @ pca.components_.T))
    scores = np.concatenate(parts)
    spread = np.maximum(scores.std(axis=0), 1e-6 * scores.std())
    means = sums / np.bincount(group_of[used], minlength=n_groups)[:, None]
    changes = means[1:] - means[0]
    changes = without_targets(changes, [cells.trained[label] for label in rows], cells.model.genes)
    return dict(zip(rows, changes, strict=True)), pca.components_.T / spread, scores / spread


def without_targets(
    effects: np.ndarray, targets: Sequence[Sequence[str]], genes: Sequence[str], fill: float = 0.0
) -> np.ndarray:
    """Return effects (n x genes) with 0, or another number, at the targets of each."""
    own = np.array([np.isin(genes, list(some)) for some in targets]).reshape(effects.shape)
    return np.where(own, fill, effects)


def null_changes(scores: np.ndarray, n_cells: int, n_null: int, seed: int) -> np.ndarray:
    """Return distances of means of `n_cells` random control cells from the others (n_null x components)."""
    # For each number of cells the same, whatever other perturbations there are.
    rng = np.random.default_rng([seed, n_cells])
    n_control = len(scores)
    n_drawn = min(n_cells, n_control // 2)
    drawn = np.stack([scores[rng.choice(n_control, n_drawn, replace=False)].sum(axis=0) for _ in range(n_null)])
    changes = drawn / n_drawn - (scores.sum(axis=0) - drawn) / (n_control - n_drawn)
    wanted, had = 1 / n_cells + 1 / n_control, 1 / n_drawn + 1 / (n_control - n_drawn)
    return changes * np.sqrt(wanted / had)


def p_values(changes: np.ndarray, n_cells: np.ndarray, unseen: np.ndarray, null_of: Callable) -> np.ndarray:
    """Return the share of random groups of control cells as far from the others as each change (`unseen`: along it)."""
    found = np.empty(len(changes))
    for n in np.unique(n_cells):
        null = null_of(int(n))
        for row in np.flatnonzero(n_cells == n):
            size = np.linalg.norm(changes[row])
            sizes = null @ changes[row] / max(size, 1e-12) if unseen[row] else np.linalg.norm(null, axis=1)
            found[row] = (1 + (sizes >= size).sum()) / (1 + len(null))
    return found
