"""Fitting a model to the cells of an AnnData."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _keys
from .._data import Expression, profiles, read_expression, unwrap
from .._errors import listed
from .._fitted import check_key, signal_column, source_params
from .._log import logger, say
from .._rng import generator
from .._write import writable, write_model
from ..pp._select_genes import choose
from ._fit_effects import check_effects, choose_effects, fit_totals, similarity_of, weights_of
from ._fit_groups import fit_error, fit_groups, history_of
from ._init_from import initial_maps
from ._schedule import schedule
from ._split import check_fractions, split_cells
from ._training_cells import training_cells

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from .._rng import RNG
    from ..models.assemblage import Fit


def fit(
    adata: AnnData | MuData,
    *,
    model: str = "dko",
    preset: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    genes: str | Sequence[str] | None = None,
    n_top_genes: int | None = None,
    groupby: str | None = None,
    covariates: Sequence[str] | None = None,
    perturbation_key: str | None = None,
    control: str | int | bool | None = None,
    mod: str = "rna",
    init_from: str | Path | None = None,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    patience: int | None = None,
    rank: int | None = None,
    effects: str = "auto",
    device: str = "auto",
    progress: bool = True,
    rng: RNG = 0,
    key_added: str = _keys.DEFAULT,
    copy: bool = False,
    **model_kwargs: Any,
) -> AnnData | MuData | None:
    """Learn how the genes that are present in a cell determine its expression profile.

    Parameters
    ----------
    adata
        Unperturbed cells: counts, normalised or log1p-normalised values (dense, CSR, CSC, backed or dask).
    model
        ``"dko"``, the assemblage model (arXiv 2510.03359).
    preset
        ``"paper"`` trains as published (5,000 steps of 20 cells, step size 0.01, validation after every step). None
        trains until the validation loss no longer falls.
    layer, use_raw
        Where the expression is; X by default. Of ``raw``, the genes that are in ``var_names`` are taken.
    log1p
        Whether the values are log1p values, to be turned back; None finds out (integers are counts; other values are
        logarithms where scanpy has marked them in ``uns["log1p"]``).
    genes, n_top_genes
        See :func:`dko.pp.select_genes`. Told nothing, all expressed genes, or the 2,000 most variable ones.
    groupby
        ``obs`` column: one model per group, as the paper fits one per cell type. Cells without a value, and groups of
        fewer than 5 cells, get no model.
    covariates
        Not used by ``model="dko"``.
    perturbation_key, control
        ``obs`` column and its value for unperturbed cells, if there are perturbed ones: only unperturbed cells train.
    mod
        Modality of a MuData that holds the genes.
    init_from
        Key of another fit in ``uns``, or a file of :func:`dko.io.save`, whose weights training starts from.
    max_epochs, max_steps
        Passes over the training cells, or steps, after which training ends.
    batch_size, learning_rate
        Cells per step; step size of Adam.
    validation_fraction
        Fraction of the cells (without the test cells) that choose the best weights.
    test_fraction
        Fraction of the cells that is kept out of the fit altogether, for :func:`dko.pl.fit`.
    patience
        Validations without a better loss after which the step size is cut or, once that has been done twice
        (``preset="paper"``: never), training ends.
    rank
        Keep the gene x gene influence as the product of two matrices with so many columns and rows: the way to fit
        20,000 genes, where 64 takes 10 MB and the full matrix 1.6 GB. None keeps the full matrix.
    effects
        What a knockout does to other genes. ``"direct"``: what the assemblage model says with all other genes as they
        are, as published. ``"total"``: on all paths, each pair of genes by a regression of its own, adjusted for depth
        and shrunken (docs, design). ``"auto"`` takes the direct ones where the assemblages of the validation
        cells explain at least half of the variance of the levels of genes, as in simulations without noise, and
        otherwise, as in all real cells so far, the total ones, which agree better with measured knockouts
        (docs, accuracy). ``preset="paper"`` and `rank` have direct ones.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    progress
        Show a bar with loss and time left. Ctrl-C keeps the best weights so far.
    rng
        Seed or generator: decides the split, the initial weights and the order of the cells.
    key_added
        Where results go.
    copy
        Return a changed copy instead of writing in place.

    Returns
    -------
    None, or the changed copy. Knockouts made with an earlier model under this key are removed. Sets

    ``uns[key_added]``
        ``params`` (dict), ``genes`` (list), ``groups`` (list), ``weights`` (``influence``, groups x genes x genes, and
        ``intercept``, groups x genes, float32; with `rank`, instead of the influence, its factors ``outgoing``, groups
        x genes x rank, and ``incoming``, groups x rank x genes; with total effects also ``total_influence``,
        ``total_intercept`` and ``variation``, how far cells are from their prediction), ``history`` (DataFrame).
        Among the parameters: ``effects``, direct or total; ``explained``, the share of the variance of levels that
        assemblages explain; ``similarity``, mean rank correlation of the sizes of effects of different knockouts, of
        50 common genes: near 1, the model says the same of every gene.
    ``var[f"{key_added}_signal"]``
        With total effects: false discovery rate at which any other gene goes with this one, in any group, float32;
        above 0.05 the effects of a gene may be noise.
    ``obs[f"{key_added}_split"]``
        train, validation, test or unused (category).
    ``obs[f"{key_added}_fit_error"]``
        Bray-Curtis dissimilarity of predicted and observed profile (float32), NaN without a model.

    Raises
    ------
    ValueError
        Negative, NaN or infinite values; a cell without any expression; too few cells; a gene nobody expresses.
    KeyError
        A gene, layer or column that is not there.
    """
    _check_model(model, covariates, model_kwargs)
    _check_rank(rank, preset)
    check_effects(effects, preset, rank)
    check_fractions(validation_fraction, test_fraction)
    chosen = schedule(
        preset,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=max_epochs,
        max_steps=max_steps,
        patience=patience,
    )
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    check_key(target, key_added)
    # Streams of their own: the split does not depend on how a model trains, nor one group's model on another's.
    for_split, for_training, for_effects = generator(rng).spawn(3)
    cells = training_cells(target, groupby, perturbation_key, control)
    split = split_cells(cells, target.n_obs, validation_fraction, test_fraction, for_split)

    from ..models._device import resolve_device

    place = resolve_device(device)
    expression = read_expression(target, layer, use_raw, log1p)
    names = _choose_genes(expression, split, genes, n_top_genes)
    if rank is not None and rank >= len(names):
        raise ValueError(
            f"rank={rank!r} must be below the number of genes, {len(names)}; leave it out for the full map."
        )
    relative = _profiles(expression, names)
    cells = _set_empty_cells_aside(split, relative, expression.values, cells, target)
    source = source_params(expression, layer, use_raw)
    totals = _totals(expression, names)
    # As large as X, and no longer needed.
    del expression
    initial = initial_maps(target, init_from, names, list(cells), rank)
    rngs = for_training.spawn(len(cells))
    fits = fit_groups(
        relative, cells, split, initial, chosen, place, rngs, progress, rank=rank, published=preset == "paper"
    )
    for group in cells.keys() - fits.keys():
        split[cells[group]] = _keys.UNUSED
    found, explained = choose_effects(effects, preset, rank, relative, cells, split, fits, place)
    counts = source["values"] == "counts"
    of_all = (
        fit_totals(relative, totals, cells, split, list(fits), for_effects, counts=counts) if found == "total" else {}
    )
    maps = {group: (of_all.get(group) or fit).affine for group, fit in fits.items()}
    weights = _weights(fits) | weights_of(of_all)
    alike = similarity_of(maps, relative, cells)
    say(f"Effects are {found} ones; those of different knockouts correlate at {alike:.2f} (size, Spearman).")
    write_model(
        target,
        key_added,
        {
            _keys.PARAMS: _params(
                model=model,
                preset=preset,
                **source,
                groupby=groupby,
                perturbation_key=perturbation_key,
                control=None if control is None else str(control),
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                rank=rank,
                effects=found,
                explained=_known(explained),
                similarity=_known(alike),
                rng=int(rng) if isinstance(rng, int | np.integer) else None,
                **vars(chosen),
            ),
            _keys.GENES: names,
            _keys.GROUPS: [] if groupby is None else list(fits),
            _keys.WEIGHTS: weights,
            _keys.HISTORY: history_of(fits, groupby),
        },
        var=signal_column(weights, names, target, key_added),
        obs={
            _keys.split(key_added): pd.Categorical(split, categories=_keys.SPLITS),
            _keys.fit_error(key_added): fit_error(relative, target, groupby, fits, place),
        },
    )
    return data if copy else None


def _check_model(model: str, covariates: Sequence[str] | None, model_kwargs: dict[str, Any]) -> None:
    if model != "dko":
        raise ValueError(f"No model {model!r}; this version has 'dko'.")
    if covariates is not None:
        raise ValueError("model='dko' uses no covariates; fit one model per group instead, groupby=...")
    if model_kwargs:
        raise TypeError(f"model='dko' takes no {listed(model_kwargs)}.")


def _check_rank(rank: int | None, preset: str | None) -> None:
    if rank is None:
        return
    if not isinstance(rank, int | np.integer) or isinstance(rank, bool) or rank < 1:
        raise ValueError(f"rank={rank!r} must be a whole number above 0.")
    if preset == "paper":
        raise ValueError("preset='paper' has layers as wide as there are genes; leave out rank=... or the preset.")


def _weights(fits: dict[str, Fit]) -> dict[str, np.ndarray]:
    """Stack the arrays of the maps of all groups, under the names that they have there."""
    maps = [fit.affine.arrays for fit in fits.values()]
    return {name: np.stack([arrays[name] for arrays in maps]) for name in maps[0]}


def _choose_genes(
    expression: Expression, split: np.ndarray, genes: str | Sequence[str] | None, n_top_genes: int | None
) -> list[str]:
    """Choose the genes with the cells that the fit may look at: test cells and perturbed ones have no say."""
    seen = np.flatnonzero(np.isin(split, [_keys.TRAIN, _keys.VALIDATION]))
    values = expression.values if len(seen) == len(split) else expression.values[seen]
    return choose(values, expression.genes, genes, n_top_genes, everywhere=expression.values)


def _profiles(expression: Expression, names: list[str]) -> sparse.csr_matrix:
    """Return relative profiles over the chosen genes."""
    if len(names) < 2:
        raise ValueError(f"A fit needs at least 2 expressed genes, got {len(names)}.")
    values = expression.values
    if len(names) < len(expression.genes):
        values = values[:, pd.Index(expression.genes).get_indexer(names)]
        values.sort_indices()
    return profiles(values)


def _set_empty_cells_aside(
    split: np.ndarray,
    relative: sparse.csr_matrix,
    values: sparse.csr_matrix,
    cells: dict[str, np.ndarray],
    adata: AnnData,
) -> dict[str, np.ndarray]:
    """Refuse cells without any expression; leave out of the fit those that express none of the chosen genes.

    Returns the groups that can still be fitted.
    """
    rows = np.sort(np.concatenate(list(cells.values())))
    void = rows[np.diff(values.indptr)[rows] == 0]
    if len(void):
        raise ValueError(
            f"{len(void)} of {len(rows)} cells express no gene at all: {listed(adata.obs_names[void])}; "
            "filter them out first, sc.pp.filter_cells(adata, min_genes=1)."
        )
    empty = rows[np.diff(relative.indptr)[rows] == 0]
    if not len(empty):
        return cells
    split[empty] = _keys.UNUSED
    able = {group: of for group, of in cells.items() if {_keys.TRAIN, _keys.VALIDATION} <= set(split[of])}
    if not able:
        raise ValueError(f"Too few cells express any of the {relative.shape[1]} genes to fit them; name more genes.")
    if unable := cells.keys() - able.keys():
        logger.warning("Groups in which too few cells express the genes get no model: %s.", listed(sorted(unable)))
        for group in unable:
            split[cells[group]] = _keys.UNUSED
    say(f"{len(empty)} of {len(rows)} cells express none of the {relative.shape[1]} genes and are left out of the fit.")
    return able


def _totals(expression: Expression, names: list[str]) -> np.ndarray:
    """Return the sum of the values of the chosen genes in each cell."""
    chosen = np.isin(expression.genes, names).astype(np.float64)
    return np.asarray(expression.values @ chosen)


def _known(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _params(**values: Any) -> dict[str, Any]:
    """Keep what was given: None cannot be told from a missing entry once it has been in a file."""
    return {"version": version("dko"), **{name: value for name, value in values.items() if value is not None}}
