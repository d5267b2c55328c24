"""Cells of measured knockouts, beside unperturbed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._core import keys
from ..._core.messages import listed, say, unknown
from ..._core.names import members, perturbations, spelled
from ...metrics import log_profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

MIN_CELLS = 10
# Enough test cells to find the genes that change against them; otherwise a half of the unperturbed cells is taken.
_MIN_TEST_CELLS = 50
TEST_CELLS = "test cells"


@dataclass(frozen=True)
class Screen:
    """Unperturbed cells and those of each perturbation.

    Attributes
    ----------
    control
        Expression of the unperturbed cells that have a model, cells x genes of the model: profiles, unless `take_out`
        takes something else.
    held_out
        Which of them the genes that change are found against.
    held_out_are
        What they are, in words.
    perturbed
        The same of the cells of each perturbation, by its name in ``obs``; joined genes sorted, without the control.
    columns
        Columns of those of its genes that the model has among its own.
    take_out
        What turns expression into the log values in which effects are measured, without some genes.
    against
        Which of the unperturbed cells effects are measured against; all of them by default.
    """

    control: sparse.csr_array
    held_out: np.ndarray
    held_out_are: str
    perturbed: dict[str, sparse.csr_array]
    columns: dict[str, np.ndarray]
    take_out: Callable[..., sparse.csr_array] = log_profiles
    against: np.ndarray | None = None


@dataclass(frozen=True)
class Named:
    """What a user has named, found in ``obs``.

    Attributes
    ----------
    labels
        Perturbation of every cell in one spelling, that of the control too.
    control
        The control cells, as a mask.
    genes
        Genes of each perturbation that can be predicted.
    """

    labels: pd.Series
    control: np.ndarray
    genes: dict[str, list[str]]

    def rows(self, label: str) -> np.ndarray:
        """Return the cells of a perturbation."""
        return np.flatnonzero(self.labels == label)


def find_perturbations(
    adata: AnnData,
    perturbation_key: str,
    control: str,
    wanted: Sequence[str] | None,
    known: Collection[str],
    remedy: str,
) -> Named:
    """Find perturbations, by default all of genes that are `known`; leave out those of others, or say the remedy."""
    known = set(known)
    labels = perturbations(adata, perturbation_key, control, known)
    if wanted is not None and not wanted:
        raise ValueError("perturbations=[] names none to score; leave it out to score all.")
    there = sorted(set(labels.dropna()) - {control})
    chosen = there if wanted is None else list(dict.fromkeys(spelled(str(one), control, known) for one in wanted))
    if missing := [label for label in chosen if label not in there]:
        raise KeyError(unknown("perturbation", missing, there, f"obs[{perturbation_key!r}]"))
    if not chosen:
        raise ValueError(
            f"obs[{perturbation_key!r}] holds nothing but {control!r}, so there is no knockout to compare."
        )
    genes = {label: members(label, known) for label in chosen}
    outside = [label for label in chosen if not known >= set(genes[label])]
    if len(outside) == len(chosen):
        raise ValueError(
            f"None of the {len(chosen)} perturbations in obs[{perturbation_key!r}] ({listed(outside, 3)}) is {remedy}"
        )
    if outside:
        say(f"Left out, as the model does not know their genes: {listed(outside)}.")
    return Named(
        labels, (labels == control).to_numpy(), {label: genes[label] for label in chosen if label not in outside}
    )


def columns_of(genes: dict[str, list[str]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the columns of the genes of each perturbation, of those that have one."""
    position = {gene: column for column, gene in enumerate(names)}
    return {
        label: np.array([position[one] for one in some if one in position], dtype=int) for label, some in genes.items()
    }


def enough_cells(cells: dict[str, np.ndarray], n_control: int, control: str, perturbation_key: str) -> list[str]:
    """Return the perturbations of enough cells; name the others."""
    if n_control < 2 * MIN_CELLS:
        raise ValueError(
            f"Effects are measured against at least {2 * MIN_CELLS} unperturbed cells that have a model, got "
            f"{n_control} with {control!r} in obs[{perturbation_key!r}]."
        )
    few = [label for label, rows in cells.items() if len(rows) < MIN_CELLS]
    if few and len(few) == len(cells):
        raise ValueError(f"No perturbation has {MIN_CELLS} cells to measure its effect in: {listed(few)}.")
    if few:
        say(f"Left out, as they have fewer than {MIN_CELLS} cells: {listed(few)}.")
    return [label for label in cells if label not in few]


def of_split(adata: AnnData, key: str, rows: np.ndarray, *parts: str) -> np.ndarray:
    """Return which of some cells are in these parts of the split of the fit; none where there is no split."""
    split = adata.obs.get(keys.split(key))
    return np.zeros(len(rows), dtype=bool) if split is None else split.iloc[rows].isin(parts).to_numpy()


def held_out(adata: AnnData, key: str, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Choose the test cells of the fit, if there are enough of them and of others, or a random half."""
    test = of_split(adata, key, rows, keys.TEST)
    if test.sum() >= _MIN_TEST_CELLS and (~test).sum() >= _MIN_TEST_CELLS:
        return test, TEST_CELLS
    half = np.zeros(len(rows), dtype=bool)
    half[rng.permutation(len(rows))[: len(rows) // 2]] = True
    return half, "random half"
