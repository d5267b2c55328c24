"""Holding an SCCVAE, and what else can be said from the perturbations it was trained on, against others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._core import keys
from ..._core.fitted import read_fitted
from ..._core.knockouts import open_perturber
from ..._core.messages import logger
from ..._core.names import DROPPED, TRAINED, members, spelled
from ..._core.scale import read_log_values
from ...metrics import oracle_strength
from ...metrics._baselines import co_expression
from ...metrics._effects import size_of_effect
from ...metrics._profiles import columns_mask
from ._predicted_shifts import ShiftPredictor
from ._scores import Predicted
from ._screen import TEST_CELLS, Screen, columns_of, enough_cells, find_perturbations, held_out, of_split
from ._training_effects import training_effects
from ._trial import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..._core.fitted import Fitted
    from ._measured import Measurement
    from ._screen import Named
    from ._training_effects import TrainingEffects

_REMEDY = (
    "one that this model can predict; a gene needs features, dko.tl.fit(adata, model='sccvae', features=...), to be "
    "perturbed."
)
_CO_EXPRESSION = "co-expression"
# As the publication has searched them.
_STRENGTHS = np.linspace(-1.0, 3.0, 41)


def open_sccvae_trial(
    adata: AnnData,
    key: str,
    perturbation_key: str,
    control: str,
    perturbations: Sequence[str] | None,
    *,
    baselines: bool,
    oracle: bool,
    device: str,
    rng: np.random.Generator,
) -> Trial:
    """Sort the cells, and get ready to predict perturbations that the model has not seen, or else cells of others."""
    fitted = read_fitted(adata, key)
    named = find_perturbations(adata, perturbation_key, control, perturbations, fitted.targets, _REMEDY)
    if fitted.params["perturbation_key"] == perturbation_key and fitted.params["control"] != control:
        raise ValueError(
            f"control={control!r} is not what the fit took for unperturbed cells, {fitted.params['control']!r}."
        )
    roles = _roles(fitted, control)
    trained = [label for label, role in roles.items() if role == TRAINED]
    cells = _cells(adata, key, named, roles, everything=perturbations is not None)
    perturber = open_perturber(adata, key, "", groups=named.control, device=device)
    labels = enough_cells(cells, len(perturber.rows), control, perturbation_key)
    _warn_if_seen(adata, key, {label: cells[label] for label in labels}, trained)
    test, are = held_out(adata, key, perturber.rows, rng)
    values = sparse.csr_array(read_log_values(adata, fitted))
    genes = {label: named.genes[label] for label in labels}
    columns = columns_of(genes, fitted.genes)
    screen = Screen(
        control=sparse.csr_array(perturber.values),
        held_out=test,
        held_out_are=are,
        perturbed={label: values[cells[label]] for label in labels},
        columns=columns,
        take_out=_without,
        # Chance in the mean of control cells that were trained on would count as something predicted: it is in the
        # effects of all training perturbations too.
        against=test if are == TEST_CELLS else None,
    )
    known = set(fitted.targets)
    training = training_effects(adata, fitted, values, named, {label: members(label, known) for label in trained})
    predictor = ShiftPredictor(perturber, genes, columns)
    return Trial(
        screen,
        predictor,
        _Others(screen, predictor, training, genes, baselines, oracle),
        {"n_trained": len(training.genes), "oracle": oracle},
        trained=np.array([label in trained for label in labels]),
        centre=training.mean,
        seen=_taken_out(training.of(labels), columns) if training.genes else None,
    )


def _without(values: sparse.csr_array, *, without: Sequence[int] | np.ndarray = ()) -> sparse.csr_array:
    """Return log values in double precision, without the entries of some genes; what is left stays as it is."""
    found = sparse.csr_array(values, dtype=float, copy=True)
    found.data[columns_mask(without, found.shape[1])[found.indices]] = 0
    found.eliminate_zeros()
    return found


def _taken_out(effects: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.where([columns_mask(of, effects.shape[1]) for of in columns.values()], np.nan, effects)


def _roles(fitted: Fitted, control: str) -> dict[str, str]:
    """Return what became of every perturbation in the fit."""
    table, known = fitted.table(keys.PERTURBATIONS), set(fitted.targets)
    labels = [spelled(str(label), control, known) for label in table["perturbation"]]
    return dict(zip(labels, table["role"].astype(str), strict=True))


def _cells(adata: AnnData, key: str, named: Named, roles: dict[str, str], *, everything: bool) -> dict[str, np.ndarray]:
    """Choose the cells of each perturbation to score, of those that were trained on the test cells, if there are any.

    Unless `everything` was asked for: of the perturbations that were not trained on and had not too few cells for it;
    if there are none, of those that have test cells, and if there are none either, of all.
    """
    rows = {label: named.rows(label) for label in named.genes}
    for label, of in rows.items():
        if roles.get(label) == TRAINED and (test := of_split(adata, key, of, keys.TEST)).any():
            rows[label] = of[test]
    if everything:
        return rows
    unseen = [label for label in rows if roles.get(label) not in (TRAINED, DROPPED)]
    tested = [label for label in rows if of_split(adata, key, rows[label], keys.TEST).any()]
    return {label: rows[label] for label in unseen or tested or rows}


def _warn_if_seen(adata: AnnData, key: str, cells: dict[str, np.ndarray], trained: Sequence[str]) -> None:
    """Warn where cells are scored that the model may have been trained on."""
    if any(not of_split(adata, key, rows, keys.TEST).all() for label, rows in cells.items() if label in trained):
        logger.warning(
            "The model was trained on cells of the perturbations that it is scored on, and has seen what it is asked "
            "to foretell; keep perturbations out, dko.tl.fit(adata, model='sccvae', holdout=[...]), or cells, "
            "test_fraction=0.2."
        )


@dataclass(frozen=True)
class _Others:
    """What is said without the model, and with a strength that was found by looking at the answer."""

    screen: Screen
    predictor: ShiftPredictor
    training: TrainingEffects
    genes: dict[str, list[str]]
    baselines: bool
    oracle: bool

    def __call__(
        self, measured: list[Measurement], values: np.ndarray, rng: np.random.Generator
    ) -> dict[str, list[Predicted]]:
        """Return the predictions of every method; nothing here is random."""
        effects = {"no change": np.zeros((len(measured), values.shape[1]))}
        if self.baselines and self.training.genes:
            effects |= self.training.baselines(self.genes)
        if self.baselines:
            effects[_CO_EXPRESSION] = self._co_expression(values)
        found = {name: [self._predicted(some, measured)] for name, some in effects.items() if np.isfinite(some).any()}
        # Its scale is a convention.
        for name in found.keys() & {_CO_EXPRESSION}:
            found[name] = [found[name][0]._replace(sized=False)]
        return {**found, **({"oracle strength": [self._oracle(measured)]} if self.oracle else {})}

    def _predicted(self, effects: np.ndarray, measured: list[Measurement]) -> Predicted:
        effects = _taken_out(effects, self.screen.columns)
        sizes = [size_of_effect(effect, one.profile) for effect, one in zip(effects, measured, strict=True)]
        return Predicted(effects, np.full(len(effects), np.nan), np.array(sizes))

    def _co_expression(self, values: np.ndarray) -> np.ndarray:
        """Let fall what correlates with the gene in control cells; only of single genes that are measured."""
        found = np.full((len(self.genes), values.shape[1]), np.nan)
        columns = list(self.screen.columns.values())
        single = [row for row, genes in enumerate(self.genes.values()) if len(columns[row]) == len(genes) == 1]
        if single:
            found[single] = co_expression(values, np.concatenate([columns[row] for row in single]))
        return found

    def _oracle(self, measured: list[Measurement]) -> Predicted:
        """Take the strength with which the prediction comes closest to the measured effect, as the publication did."""
        effects, strengths = [], []
        for label, one in zip(self.genes, measured, strict=True):
            grid = self.predictor.graded(label, _STRENGTHS)
            best = oracle_strength(grid, one.effect, strengths=_STRENGTHS)
            effects.append(grid[np.flatnonzero(_STRENGTHS == best)[0]])
            strengths.append(best)
        return self._predicted(np.array(effects), measured)._replace(strengths=np.array(strengths))
