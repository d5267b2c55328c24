"""Folds of perturbations, each to be predicted from the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .._core import keys
from .._core.cells import Source, unwrap
from .._core.expression import read_expression
from .._core.messages import listed, many, say
from .._core.names import control_of, perturbations
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator

if TYPE_CHECKING:
    from .._core.expression import Expression
    from .._typing import RNG, AnnData, MuData

# Sizes that differ by less than this part of the largest are equal, so that no rounding decides the order.
_DIGITS = 9


@verb
def split_perturbations(
    adata: AnnData | MuData,
    *,
    perturbation_key: str,
    control: str | float | bool,
    n_folds: int = 5,
    validation_perturbations: float = 0.0,
    test_controls: float = 0.0,
    layer: str | None = None,
    rng: RNG = 0,
    key_added: str = "fold",
    mod: str = "rna",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Assign perturbations to folds of similar effect sizes: all cells of one are in one fold.

    Perturbations are ordered by the size of their effect (length of the change of the mean of log-normalised values,
    less what sampling adds to it), and of every `n_folds` consecutive ones each fold gets one at random. To predict
    each perturbation from others, loop over the folds::

        for fold in map(str, range(5)):
            labels = list(adata.obs.loc[adata.obs["fold"] == fold, "perturbation"].unique())
            dko.tl.fit(adata, model="sccvae", holdout=labels, key_added=f"fold_{fold}", ...)
            dko.tl.evaluate(adata, key=f"fold_{fold}", ...)

    To choose settings, keep `validation_perturbations` out of all folds: hold them out of every fit too, score them by
    name, ``dko.tl.evaluate(adata, perturbations=those, ...)``, and look at the folds only in the end.

    Parameters
    ----------
    adata
        Perturbed and control cells, of counts or of log-normalised values.
    perturbation_key, control
        ``obs`` column of the genes that were perturbed (several joined by ``+``), and its value for control cells.
    n_folds
        Number of folds.
    validation_perturbations
        Share of the perturbations, of all sizes of effects, that are in no fold; at least one if it is above 0.
    test_controls
        Share of the control cells to keep apart, for comparisons of your own: :func:`dko.tl.fit` does not look at this
        column, and keeps control cells apart itself with ``test_controls=...``.
    layer, mod
        Where the values are, X by default; modality of a MuData.
    %(rng)s
    key_added
        Name of the new column.
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``obs[key_added]`` (category): ``"0"``, ``"1"``, ..., ``"control"`` and, where
    they are asked for, ``"validation"`` and ``"control_test"``; missing where the perturbation is.

    Raises
    ------
    KeyError, ValueError
        No such column, control value or layer; more folds than perturbations that are left for them, fewer than 2
        folds, a share that is not from 0 to below 1, values that are no expression; a bad `key_added`.

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.pp.split_perturbations(screen, perturbation_key="perturbation", control="control", n_folds=4)
    >>> screen.obs["fold"].cat.categories.tolist()
    ['0', '1', '2', '3', 'control']
    """
    if key_added == perturbation_key:
        raise ValueError(f"key_added={key_added!r} is the column of the perturbations; name a new one.")
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    control = control_of(target, perturbation_key, control)
    labels = perturbations(target, perturbation_key, control, set(target.var_names))
    known = sorted(set(labels.dropna()) - {control})
    # Of 0.07 x 100 that rounding makes a little more than 7, 7.
    n_validation = math.ceil(round(validation_perturbations * len(known), _DIGITS))
    if len(known) - n_validation < n_folds:
        without = f" without {n_validation} for validation" if n_validation else ""
        raise ValueError(
            f"n_folds={n_folds} is more than there are perturbations in obs[{perturbation_key!r}]{without}: "
            f"{listed(known) or 'none'}; ask for fewer."
        )
    controls = np.flatnonzero(labels == control)
    found, stream = read_expression(Source(target, layer), None, linear=False), generator(rng)
    means, noise = _means_and_noise(found, pd.Index([*known, control]).get_indexer(labels))
    # The length of each effect; 0 where it is no larger than sampling makes it.
    squares = np.square(means[:-1] - means[-1]).sum(axis=1) - noise[:-1] - noise[-1]
    assigned = _assigned(np.sqrt(np.maximum(squares, 0.0)), n_folds, n_validation, stream)
    fold = labels.map(dict(zip(known, np.where(assigned < 0, keys.VALIDATION, assigned.astype(str)), strict=True)))
    fold.iloc[controls] = keys.CONTROL
    # By name, so that the order of the cells does not decide.
    by_name = controls[np.argsort(target.obs_names[controls].to_numpy(dtype=str), kind="stable")]
    apart = stream.permutation(by_name)[: round(test_controls * len(controls))]
    fold.iloc[apart] = keys.CONTROL_TEST
    names = [*map(str, range(n_folds)), keys.CONTROL]
    names += [keys.VALIDATION] * bool(n_validation) + [keys.CONTROL_TEST] * bool(len(apart))
    write(target, obs={key_added: pd.Categorical(fold, categories=names)})
    validating = f", and {n_validation} for validation" if n_validation else ""
    done = many(len(known) - n_validation, "perturbation")
    say(f"Assigned {done} to {n_folds} folds{validating}: obs[{key_added!r}].")
    return data if copy else None


def _means_and_noise(found: Expression, label_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each gene in the cells of each label (-1: none), and the sum of their sampling variances."""
    n = np.bincount(label_of[label_of >= 0])
    sums, squares = np.zeros((len(n), len(found.genes))), np.zeros(len(n))
    for first, block in found.logged(float(np.median(found.totals))):
        labels = label_of[first : first + block.shape[0]]
        there = np.flatnonzero(labels >= 0)
        members = sparse.csr_matrix((np.ones(len(there)), (labels[there], there)), shape=(len(n), len(labels)))
        sums += (members @ block).toarray()
        squares += np.bincount(labels[there], np.asarray(block.power(2).sum(axis=1)).ravel()[there], len(n))
    means = sums / n[:, None]
    variances = squares / n - np.square(means).sum(axis=1)
    return means, np.where(n > 1, variances / np.maximum(n - 1, 1), np.inf)


def _assigned(sizes: np.ndarray, n_folds: int, n_validation: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each perturbation, -1 for validation: of consecutive ones by size, each fold gets one."""
    order = np.argsort(-np.round(sizes / max(sizes.max(), np.finfo(float).tiny), _DIGITS), kind="stable")
    apart = [rng.choice(some) for some in np.array_split(order, n_validation)] if n_validation else []
    order = order[~np.isin(order, apart)]
    folds = np.full(len(sizes), -1)
    for start in range(0, len(order), n_folds):
        some = order[start : start + n_folds]
        folds[some] = rng.permutation(n_folds)[: len(some)]
    return folds
