"""Cells of measured knockouts, beside unperturbed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._errors import listed, unknown
from .._fitted import group_values
from .._log import logger, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    from .._engine import Task

MIN_CELLS = 10
# Enough test cells to find the genes that change against them; otherwise a half of the unperturbed cells is taken.
_MIN_TEST_CELLS = 50


@dataclass(frozen=True)
class Screen:
    """Unperturbed cells and those of each perturbation.

    Attributes
    ----------
    control
        Profiles of the unperturbed cells that have a model, cells x genes of the model.
    held_out
        Which of them the genes that change are found against.
    held_out_are
        What they are, in words.
    perturbed
        Profiles of the cells of each perturbation, by its name in ``obs``; joined genes sorted, without the control.
    columns
        Columns of its genes.
    """

    control: sparse.csr_array
    held_out: np.ndarray
    held_out_are: str
    perturbed: dict[str, sparse.csr_array]
    columns: dict[str, np.ndarray]


def is_control(adata: AnnData, perturbation_key: str, control: str | int | bool) -> np.ndarray:
    """Return which cells are unperturbed."""
    values = group_values(adata, perturbation_key)
    if str(control) not in set(values):
        known = sorted(values.dropna().unique())
        message = unknown("value", [str(control)], known, f"obs[{perturbation_key!r}]")
        raise KeyError(message if message.endswith("?") else f"{message} There are {listed(known)}.")
    return (values == str(control)).to_numpy()


def read_screen(
    task: Task,
    rows: np.ndarray,
    profiles: sparse.csr_array,
    perturbation_key: str,
    control: str,
    perturbations: Sequence[str] | None,
    rng: np.random.Generator,
) -> Screen:
    """Sort the cells; `rows` are the unperturbed ones that have a model, `profiles` those of all cells."""
    values = group_values(task.adata, perturbation_key)
    genes, known = task.fitted.genes, set(task.fitted.genes)
    spelled = {label: _spelled(label, control, known) for label in values.dropna().unique()}
    values = values.map(spelled).astype(object)
    if len(rows) < 2 * MIN_CELLS:
        raise ValueError(
            f"Effects are measured against at least {2 * MIN_CELLS} unperturbed cells that have a model, got "
            f"{len(rows)} with {control!r} in obs[{perturbation_key!r}]."
        )
    wanted = None if perturbations is None else [_spelled(str(label), control, known) for label in perturbations]
    columns = _knockouts(values, control, wanted, genes, perturbation_key)
    cells = {label: np.flatnonzero(values == label) for label in columns}
    if few := [label for label in cells if len(cells[label]) < MIN_CELLS]:
        if len(few) == len(cells):
            raise ValueError(f"No perturbation has {MIN_CELLS} cells to measure its effect in: {listed(few)}.")
        say(f"Left out, as they have fewer than {MIN_CELLS} cells: {listed(few)}.")
    cells = {label: of for label, of in cells.items() if label not in few}
    _warn_if_trained_on(task, np.concatenate(list(cells.values())))
    held_out, are = _held_out(task, rows, rng)
    return Screen(
        control=profiles[rows],
        held_out=held_out,
        held_out_are=are,
        perturbed={label: profiles[of] for label, of in cells.items()},
        columns={label: columns[label] for label in cells},
    )


def _spelled(label: str, control: str, genes: set[str]) -> str:
    """Name a perturbation of several genes whatever their order, and whether the control is named with them."""
    if label == control or label in genes or "+" not in label:
        return label
    return _keys.label({gene for gene in label.split("+") if gene != control}) or control


def _knockouts(
    values: pd.Series, control: str, perturbations: Sequence[str] | None, genes: list[str], perturbation_key: str
) -> dict[str, np.ndarray]:
    """Return the columns of the genes of each perturbation; leave out those with genes that the model does not know."""
    if perturbations is not None and not perturbations:
        raise ValueError("perturbations=[] names none to score; leave it out to score all.")
    known = sorted(set(values.dropna()) - {control})
    wanted = known if perturbations is None else list(dict.fromkeys(perturbations))
    if missing := [label for label in wanted if label not in known]:
        raise KeyError(unknown("perturbation", missing, known, f"obs[{perturbation_key!r}]"))
    position = {gene: column for column, gene in enumerate(genes)}
    members = {label: [label] if label in position else sorted(set(label.split("+"))) for label in wanted}
    outside = [label for label in wanted if not position.keys() >= set(members[label])]
    if not wanted:
        raise ValueError(
            f"obs[{perturbation_key!r}] holds nothing but {control!r}, so there is no knockout to compare."
        )
    if len(outside) == len(wanted):
        raise ValueError(
            f"None of the {len(wanted)} perturbations in obs[{perturbation_key!r}] ({listed(outside, 3)}) is a gene of "
            "the model, or several joined by '+'; fit with these genes, dko.tl.fit(adata, genes=...)."
        )
    if outside:
        say(f"Left out, as the model does not know their genes: {listed(outside)}.")
    return {label: np.array([position[gene] for gene in members[label]]) for label in wanted if label not in outside}


def _warn_if_trained_on(task: Task, rows: np.ndarray) -> None:
    split = task.adata.obs.get(_keys.split(task.fitted.key))
    if split is not None and split.iloc[rows].isin([_keys.TRAIN, _keys.VALIDATION]).any():
        logger.warning(
            "The model was fitted on perturbed cells too, and has seen what it is asked to foretell; name the "
            "unperturbed ones, dko.tl.fit(adata, perturbation_key=..., control=...)."
        )


def _held_out(task: Task, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Choose the test cells of the fit, if there are enough of them and of others, or a random half."""
    split = task.adata.obs.get(_keys.split(task.fitted.key))
    if split is not None:
        test = (split.iloc[rows] == _keys.TEST).to_numpy()
        if test.sum() >= _MIN_TEST_CELLS and (~test).sum() >= _MIN_TEST_CELLS:
            return test, "test cells"
    half = np.zeros(len(rows), dtype=bool)
    half[rng.permutation(len(rows))[: len(rows) // 2]] = True
    return half, "random half"
