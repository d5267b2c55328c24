"""Fitting a model to the cells of an AnnData."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _keys
from .._data import Expression, profiles, read_expression, unwrap
from .._errors import listed
from .._fitted import group_values
from .._log import logger, say
from .._rng import generator
from .._write import write_model
from ..pp._select_genes import choose
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
    control: str | None = None,
    mod: str = "rna",
    init_from: str | Path | None = None,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    patience: int | None = None,
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
        Validations without a better loss after which training ends.
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
        ``intercept``, groups x genes, float32), ``history`` (DataFrame).
    ``obs[f"{key_added}_split"]``
        train, validation, test or unused (category).
    ``obs[f"{key_added}_fit_error"]``
        Bray-Curtis dissimilarity of predicted and observed profile (float32), NaN without a model.

    Raises
    ------
    ValueError
        Negative, NaN or infinite values; a cell that expresses no chosen gene; too few cells; a gene nobody expresses.
    KeyError
        A gene, layer or column that is not there.
    """
    _check_model(model, covariates, model_kwargs)
    _keys.check(key_added)
    check_fractions(validation_fraction, test_fraction)
    chosen = schedule(
        preset,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=max_epochs,
        max_steps=max_steps,
        patience=patience,
    )
    data = adata.copy() if copy else adata
    target = unwrap(data, mod)
    cells = training_cells(target, groupby, perturbation_key, control)
    expression = read_expression(target, layer, use_raw, log1p)
    names = choose(expression.values, expression.genes, genes, n_top_genes)
    relative = _profiles(expression, names, cells, target)
    # Streams of their own: the split does not depend on how a model trains, nor one group's model on another's.
    for_split, for_training = generator(rng).spawn(2)
    split = split_cells(cells, target.n_obs, validation_fraction, test_fraction, for_split)
    initial = initial_maps(target, init_from, names, list(cells))

    from ..models._device import resolve_device

    place = resolve_device(device)
    fits = _fit_groups(relative, cells, split, initial, chosen, place, for_training.spawn(len(cells)), progress)
    cells = {group: rows for group, rows in cells.items() if group in fits}
    write_model(
        target,
        key_added,
        {
            _keys.PARAMS: _params(
                model=model,
                preset=preset,
                layer=layer,
                use_raw=use_raw,
                log1p=expression.log1p,
                groupby=groupby,
                perturbation_key=perturbation_key,
                control=control,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                rng=rng if isinstance(rng, int) else None,
                **vars(chosen),
            ),
            _keys.GENES: names,
            _keys.GROUPS: [] if groupby is None else list(fits),
            _keys.WEIGHTS: {
                "influence": np.stack([fit.affine.influence for fit in fits.values()]),
                "intercept": np.stack([fit.affine.intercept for fit in fits.values()]),
            },
            _keys.HISTORY: _history(fits, groupby),
        },
        obs={
            _keys.split(key_added): pd.Categorical(_fitted_split(split, cells), categories=_keys.SPLITS),
            _keys.fit_error(key_added): _fit_error(relative, target, groupby, fits, place),
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


def _profiles(
    expression: Expression, names: list[str], cells: dict[str, np.ndarray], adata: AnnData
) -> sparse.csr_matrix:
    """Return relative profiles over the chosen genes; refuse training cells that express none of them."""
    if len(names) < 2:
        raise ValueError(f"A fit needs at least 2 expressed genes, got {len(names)}.")
    values = expression.values
    if len(names) < len(expression.genes):
        values = values[:, pd.Index(expression.genes).get_indexer(names)]
        values.sort_indices()
    rows = np.concatenate(list(cells.values()))
    empty = np.sort(rows[np.diff(values.indptr)[rows] == 0])
    if len(empty):
        raise ValueError(
            f"{len(empty)} of {len(rows)} cells express none of the {len(names)} genes: "
            f"{listed(adata.obs_names[empty])}; filter them out (sc.pp.filter_cells) or name more genes."
        )
    return profiles(values)


def _fit_groups(
    relative: sparse.csr_matrix,
    cells: dict[str, np.ndarray],
    split: np.ndarray,
    initial: dict[str, Any],
    chosen: Any,
    device: Any,
    rngs: list[np.random.Generator],
    progress: bool,
) -> dict[str, Fit]:
    from ..models import assemblage

    fits: dict[str, Fit] = {}
    for (group, rows), rng in zip(cells.items(), rngs, strict=True):
        try:
            fits[group] = assemblage.fit(
                relative[rows[split[rows] == "train"]],
                relative[rows[split[rows] == "validation"]],
                chosen,
                device=device,
                rng=rng,
                init=initial.get(group),
                progress=progress,
                label=f"fit {group}".strip(),
            )
        except KeyboardInterrupt:
            # Before its first validation a model has no weights worth keeping; the models before it have.
            if not fits:
                raise
            break
        if fits[group].trained.interrupted:
            break
    if left := list(cells)[len(fits) :]:
        logger.warning("Stopped by the user before the groups %s were fitted; they get no model.", listed(left))
    losses = [fit.trained.history["validation_loss"].min() for fit in fits.values()]
    steps = sum(int(fit.trained.history["step"].max()) for fit in fits.values())
    say(f"Fitted {len(fits)} model(s) in {steps} steps on {device}: validation Bray-Curtis {np.mean(losses):.4f}.")
    return fits


def _fitted_split(split: np.ndarray, cells: dict[str, np.ndarray]) -> np.ndarray:
    """Cells of groups that were not reached count as unused."""
    kept = np.full(len(split), "unused", dtype=object)
    for rows in cells.values():
        kept[rows] = split[rows]
    return kept


def _fit_error(
    relative: sparse.csr_matrix, adata: AnnData, groupby: str | None, fits: dict[str, Fit], device: Any
) -> np.ndarray:
    """Bray-Curtis dissimilarity of predicted and observed profile of every cell that has a model."""
    from ..models import assemblage

    values = None if groupby is None else group_values(adata, groupby).to_numpy()
    error = np.full(adata.n_obs, np.nan, dtype=np.float32)
    for group, fit in fits.items():
        rows = np.flatnonzero((values == group) if values is not None else np.ones(adata.n_obs, dtype=bool))
        observed = relative[rows]
        presence = observed.copy()
        presence.data[:] = 1.0
        gap = observed.copy()
        gap.data = np.abs(assemblage.predict(fit.affine, presence, device) - observed.data) / 2
        filled = np.diff(observed.indptr) > 0
        error[rows[filled]] = np.asarray(gap.sum(axis=1)).ravel()[filled]
    return error


def _params(**values: Any) -> dict[str, Any]:
    """Keep what was given: None cannot be told from a missing entry once it has been in a file."""
    return {"version": version("dko"), **{name: value for name, value in values.items() if value is not None}}


def _history(fits: dict[str, Fit], groupby: str | None) -> pd.DataFrame:
    parts = {group: fit.trained.history for group, fit in fits.items()}
    if groupby is None:
        return parts[""]
    table = pd.concat(parts, names=["group"]).reset_index(level="group").reset_index(drop=True)
    return table.astype({"group": "category"})
