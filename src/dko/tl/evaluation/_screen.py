"""Cells of measured knockouts beside unperturbed ones, and what the knockouts have done there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..._core import keys
from ..._core.fitted import read_fitted, read_profiles
from ..._core.knockouts import open_model
from ..._core.messages import listed, logger, say, unknown
from ..._core.names import DROPPED, TRAINED, members, perturbations, spelled
from ..._core.scale import read_log_values
from ...metrics import changed_genes, effect, effect_size, log_profiles
from ...metrics._effects import agreement, halves, shares
from ...metrics._profiles import columns_mask

if TYPE_CHECKING:
    from ..._typing import AnnData, Collection, Iterable, Predictor, Sequence

_MIN_CELLS = 10
# Enough test cells to find the genes that change against them; otherwise a half of the unperturbed cells is taken.
_MIN_TEST_CELLS = 50
_TEST_CELLS = "test cells"
_UNKNOWN = "no split"  # of which no cell is known to be in any part
# A rank test with many ties takes the normal distribution for granted, which holds for sides of similar size.
_MAX_RATIO = 2


@dataclass(frozen=True)
class Screen:
    """Unperturbed cells and those of each perturbation."""

    cells: Predictor  # the unperturbed cells, and the model that predicts their knockouts
    everything: sparse.csr_array  # all cells x genes of the model: profiles, or the log values that the model reads
    labels: pd.Series  # the perturbation of every cell in one spelling, that of the control too
    genes: dict[str, list[str]]  # of each perturbation to score
    perturbed: dict[str, np.ndarray]  # its cells
    held_out: np.ndarray  # which of the unperturbed cells the genes that change are found against
    held_out_are: str  # what these are, in words
    trained: dict[str, list[str]]  # genes of the perturbations that the model was trained on
    split: np.ndarray  # part of the fit that every cell is in, as text

    @cached_property
    def control(self) -> sparse.csr_array:
        """Expression of the unperturbed cells."""
        return self.everything[self.cells.rows]

    @cached_property
    def columns(self) -> list[np.ndarray]:
        """Columns of the genes of each perturbation, of those that the model predicts."""
        return self.columns_of(self.genes.values())

    def columns_of(self, sets: Iterable[list[str]]) -> list[np.ndarray]:
        """Return the columns of sets of genes, of those that the model predicts."""
        return [self.cells.model.columns(genes) for genes in self.cells.numbers(list(sets))]

    def log_values(self, rows: np.ndarray, without: np.ndarray) -> sparse.csr_array:
        """Return the log values in which effects are measured, without some genes."""
        if not self.cells.model.log:
            return log_profiles(self.everything[rows], without=without)
        found = sparse.csr_array(self.everything[rows], dtype=float)
        found.data[columns_mask(without, found.shape[1])[found.indices]] = 0
        found.eliminate_zeros()
        return found

    def used(self, rows: np.ndarray) -> np.ndarray:
        """Choose cells that the model was trained on; all where nothing is known of it."""
        return rows[np.isin(self.split[rows], (_UNKNOWN, keys.TRAIN, keys.VALIDATION))]


def open_screen(
    adata: AnnData,
    key: str,
    perturbation_key: str,
    control: str,
    wanted: Sequence[str] | None,
    *,
    device: str,
    rng: np.random.Generator,
) -> Screen:
    """Sort the cells, and open the model."""
    fitted = read_fitted(adata, key)
    model, params, known = fitted.model, fitted.params, set(fitted.model.targets)
    labels = perturbations(adata, perturbation_key, control, known)
    genes = _named(labels, perturbation_key, control, wanted, known)
    if model.where == "control" and params["perturbation_key"] == perturbation_key and params["control"] != control:
        raise ValueError(f"control={control!r} is not what the fit took for unperturbed cells, {params['control']!r}.")
    cells = open_model(adata, key, "", (labels == control).to_numpy(), device=device)
    split = adata.obs.get(keys.split(key), pd.Series(_UNKNOWN, adata.obs_names)).astype(str).to_numpy()
    # What became of every perturbation in the fit; nothing of a model of unperturbed cells.
    roles = {}
    if keys.PERTURBATIONS in fitted.tables:
        table = fitted.table(keys.PERTURBATIONS)
        labels_of_fit = [spelled(str(label), control, known) for label in table["perturbation"]]
        roles = dict(zip(labels_of_fit, table["role"].astype(str), strict=True))
    perturbed = {label: np.flatnonzero(labels == label) for label in genes}
    for label, rows in perturbed.items():
        if roles.get(label) == TRAINED and (test := split[rows] == keys.TEST).any():
            perturbed[label] = rows[test]
    if wanted is None:
        # Perturbations that were not trained on, but could have been; if there are none, those that have test cells.
        unseen = [label for label in perturbed if roles.get(label) not in (TRAINED, DROPPED)]
        tested = [label for label, rows in perturbed.items() if keys.TEST in split[rows]]
        perturbed = {label: perturbed[label] for label in unseen or tested or perturbed}
    # Read here, and kept, as knockouts are predicted a few at a time.
    n_control = cells.values.shape[0]
    perturbed = _enough(perturbed, n_control, control, perturbation_key)
    _warn_of_seen(split, perturbed, roles)
    held_out, are = _held_out(split[cells.rows] == keys.TEST, rng)
    everything = read_log_values(adata, fitted) if model.log else read_profiles(adata, fitted)
    trained = {label: members(label, known) for label, role in roles.items() if role == TRAINED}
    genes = {label: genes[label] for label in perturbed}
    screen = Screen(cells, sparse.csr_array(everything), labels, genes, perturbed, held_out, are, trained, split)
    if model.where == "all" and not any(screen.control[:, columns].sum() > 0 for columns in screen.columns):
        raise ValueError(
            f"No unperturbed cell expresses the gene of any perturbation ({listed(genes, 3)}), so there is no "
            "knockout to predict."
        )
    return screen


def _named(
    labels: pd.Series, perturbation_key: str, control: str, wanted: Sequence[str] | None, known: Collection[str]
) -> dict[str, list[str]]:
    """Return the genes of the perturbations to score, by default of all that the model knows; name the others."""
    where = f"obs[{perturbation_key!r}]"
    if wanted is not None and not len(wanted):
        raise ValueError("perturbations=[] names none to score; leave it out to score all.")
    there = sorted(set(labels.dropna()) - {control})
    chosen = there if wanted is None else list(dict.fromkeys(spelled(str(one), control, known) for one in wanted))
    if missing := [label for label in chosen if label not in there]:
        raise KeyError(unknown("perturbation", missing, there, where))
    if not chosen:
        raise ValueError(f"{where} holds nothing but {control!r}, so there is no knockout to compare.")
    genes = {label: members(label, known) for label in chosen}
    outside = [label for label in chosen if not set(known) >= set(genes[label])]
    if len(outside) == len(chosen):
        raise ValueError(
            f"None of the {len(chosen)} perturbations in {where} ({listed(outside, 3)}) is a gene that the model can "
            "knock out, or several joined by '+'; fit with these genes, dko.tl.fit(adata, genes=...), or a model of "
            "perturbations with features of them, features=...."
        )
    if outside:
        say(f"Left out, as the model does not know their genes: {listed(outside)}.")
    return {label: genes[label] for label in chosen if label not in outside}


def _enough(cells: dict[str, np.ndarray], n_control: int, control: str, perturbation_key: str) -> dict[str, np.ndarray]:
    """Return the perturbations of enough cells; name the others."""
    if n_control < 2 * _MIN_CELLS:
        raise ValueError(
            f"Effects are measured against at least {2 * _MIN_CELLS} unperturbed cells that have a model, got "
            f"{n_control} with {control!r} in obs[{perturbation_key!r}]."
        )
    few = [label for label, rows in cells.items() if len(rows) < _MIN_CELLS]
    if few and len(few) == len(cells):
        raise ValueError(f"No perturbation has {_MIN_CELLS} cells to measure its effect in: {listed(few)}.")
    if few:
        say(f"Left out, as they have fewer than {_MIN_CELLS} cells: {listed(few)}.")
    return {label: rows for label, rows in cells.items() if label not in few}


def _warn_of_seen(split: np.ndarray, perturbed: dict[str, np.ndarray], roles: dict[str, str]) -> None:
    """Warn where cells are scored that the model may have been trained on."""
    for label, rows in perturbed.items():
        seen = np.isin(split[rows], (keys.TRAIN, keys.VALIDATION)).any()
        if seen or (roles.get(label) == TRAINED and (split[rows] != keys.TEST).any()):
            logger.warning(
                "The model was trained on cells that it is scored on, and has seen what it is asked to predict; keep "
                "them out, dko.tl.fit(adata, perturbation_key=..., control=...), of a model of perturbations with "
                "holdout=[...] or test_fraction=0.2."
            )
            return


def _held_out(test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Choose the test cells of the fit, if there are enough of them and of others, or a random half."""
    if test.sum() >= _MIN_TEST_CELLS and (~test).sum() >= _MIN_TEST_CELLS:
        return test, _TEST_CELLS
    half = np.zeros(len(test), dtype=bool)
    half[rng.permutation(len(test))[: len(test) // 2]] = True
    return half, "random half"


class Measurement(NamedTuple):
    """A measured knockout; effects are NaN at the genes that were knocked out."""

    effect: np.ndarray
    effect_elsewhere: np.ndarray  # against unperturbed cells that are not held out
    changed: np.ndarray  # genes that differ from the held-out unperturbed cells
    ceiling: float
    size: float
    n_cells: int
    profile: np.ndarray  # mean of the unperturbed cells without the genes that were knocked out
    noise: float  # sampling variance of the effect, mean over its genes: the mean squared error of the truth
    halves: np.ndarray  # effects that two random halves of the cells show


# Log values of perturbed and of unperturbed cells, the genes of one knockout taken out of both.
Pair = tuple[sparse.csr_array, sparse.csr_array]


def measure(screen: Screen, pair: Pair, without: np.ndarray, n_splits: int, rng: np.random.Generator) -> Measurement:
    """Measure one knockout, its size with as many cells a side as the knockout of the fewest has."""
    from sklearn.utils.sparsefuncs import mean_variance_axis

    perturbed, control = pair
    gone = columns_mask(without, control.shape[1])
    held_out = control[screen.held_out]
    # Chance in the mean of control cells that were trained on would count as something predicted: it is in the
    # effects of all training perturbations too.
    apart = bool(screen.trained) and screen.held_out_are == _TEST_CELLS
    reference = held_out if apart else control
    n_test = _MAX_RATIO * min(perturbed.shape[0], held_out.shape[0])
    of_test = some(perturbed, n_test, rng), some(held_out, n_test, rng)
    changed = changed_genes(*of_test, without=without, logged=True)
    parts = halves(perturbed, reference, n_splits, rng)
    n_size = min(control.shape[0] // 2, *map(len, screen.perturbed.values()))
    noise = sum(mean_variance_axis(one, axis=0)[1] / (one.shape[0] - 1) for one in (perturbed, reference))
    return Measurement(
        effect=effect(perturbed, reference, without=without, logged=True),
        effect_elsewhere=effect(perturbed, control[~screen.held_out], without=without, logged=True),
        changed=changed,
        ceiling=agreement(parts[..., ~gone]),
        size=effect_size(perturbed, control, logged=True, n_cells=n_size, n_splits=n_splits, rng=rng),
        n_cells=perturbed.shape[0],
        profile=np.asarray(shares(control).mean(axis=0)).ravel(),
        noise=float(noise[~gone].mean()),
        halves=np.where(gone, np.nan, parts[:, 0]),
    )


def some(cells: sparse.csr_array, most: int, rng: np.random.Generator) -> sparse.csr_array:
    """Return random cells, at most so many."""
    if cells.shape[0] <= most:
        return cells
    return cells[np.sort(rng.choice(cells.shape[0], most, replace=False))]
