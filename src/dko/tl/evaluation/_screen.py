"""Cells of measured knockouts beside unperturbed ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from ..._core import keys
from ..._core.fitted import read_fitted
from ..._core.knockouts import open_model
from ..._core.messages import listed, logger, say, unknown
from ..._core.names import DROPPED, TRAINED, members, perturbations, spelled
from ..._core.reading import read_blocks
from ...metrics import log_profiles
from ...metrics._profiles import columns_mask
from ...models.rows import View, blocks_of, kept, mean_of

if TYPE_CHECKING:
    from ..._typing import AnnData, Collection, Iterable, Iterator, Predictor, Sequence
    from ...models.rows import Rows

_MIN_CELLS = 10
# Enough test cells to find the genes that change against them; otherwise a half of the unperturbed cells is taken.
_MIN_TEST_CELLS = 50
TEST_CELLS = "test cells"
_UNKNOWN = "no split"  # of which no cell is known to be in any part
# Bytes that are made of each entry of cells.
_PER_ENTRY = 64


@dataclass(frozen=True)
class Screen:
    """Unperturbed cells and those of each perturbation."""

    cells: Predictor  # the unperturbed cells, and the model that predicts their knockouts
    values: Rows  # all cells x genes of the model: profiles, or the log values that the model reads
    labels: pd.Series  # the perturbation of every cell in one spelling, that of the control too
    genes: dict[str, list[str]]  # of each perturbation to score
    perturbed: dict[str, np.ndarray]  # its cells
    held_out: np.ndarray  # which of the unperturbed cells the genes that change are found against
    held_out_are: str  # what these are, in words
    trained: dict[str, list[str]]  # genes of the perturbations that the model was trained on
    split: np.ndarray  # part of the fit that every cell is in, as text

    @property
    def control(self) -> np.ndarray:
        """Rows of the unperturbed cells."""
        return self.cells.rows

    @cached_property
    def columns(self) -> list[np.ndarray]:
        """Columns of the genes of each perturbation, of those that the model predicts."""
        return self.columns_of(self.genes.values())

    def columns_of(self, sets: Iterable[list[str]]) -> list[np.ndarray]:
        """Return the columns of sets of genes, of those that the model predicts."""
        return [self.cells.model.columns(genes) for genes in self.cells.numbers(list(sets))]

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Yield the values of some cells, with their places among `rows`, as many at a time as fit into memory."""
        return blocks_of(View(self.values, rows), _PER_ENTRY)

    def log_blocks(self, rows: np.ndarray, without: np.ndarray) -> Iterator[tuple[slice, sparse.csr_array]]:
        """Yield, in the same way, the log values in which effects are measured, without some genes."""
        return ((there, self._logged(values, without)) for there, values in self.blocks(rows))

    def log_values(self, rows: np.ndarray, without: np.ndarray) -> sparse.csr_array:
        """Return these log values of a few cells."""
        return self._logged(self.values[rows], without)

    def _logged(self, values: sparse.csr_matrix, without: np.ndarray) -> sparse.csr_array:
        if not self.cells.model.log:
            return log_profiles(values, without=without)
        found = sparse.csr_array(values, dtype=float)
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
    perturbed = _enough(perturbed, len(cells.rows), control, perturbation_key)
    _warn_of_seen(split, perturbed, roles)
    held_out, are = _held_out(split[cells.rows] == keys.TEST, rng)
    blocks = read_blocks(adata, fitted, "log" if model.log else "profiles")
    values = kept((block for _, block in blocks), len(fitted.genes))
    trained = {label: members(label, known) for label, role in roles.items() if role == TRAINED}
    genes = {label: genes[label] for label in perturbed}
    screen = Screen(cells, values, labels, genes, perturbed, held_out, are, trained, split)
    expressed = mean_of(View(values, screen.control)) > 0
    if model.where == "all" and not any(expressed[columns].any() for columns in screen.columns):
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
        return test, TEST_CELLS
    half = np.zeros(len(test), dtype=bool)
    half[rng.permutation(len(test))[: len(test) // 2]] = True
    return half, "random half"
