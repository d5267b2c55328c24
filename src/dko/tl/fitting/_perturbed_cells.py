"""Which cells of which perturbations an SCCVAE may train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..._core.messages import listed, logger, unknown
from ..._core.names import DROPPED, HELD_OUT, TRAINED, members, perturbations, spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ...models.sccvae import FeaturesOf

MIN_CELLS = 20
# Control cells that a model can be trained on.
_MIN_CONTROLS = 20


@dataclass(frozen=True)
class PerturbedCells:
    """Control and perturbed cells.

    Attributes
    ----------
    number
        Per cell, the number of its perturbation among the trained ones; -1 for control cells and all others.
    used
        Which cells are control cells or of trained perturbations.
    rows
        Rows of these, by name of the perturbation; the control is named ''.
    trained
        The genes of each perturbation that is trained on.
    targets
        These genes, each once.
    held_out
        Cells of perturbations that are kept out, and control cells that are.
    roles
        Every perturbation, with its number of cells, and what became of it: trained, held out or dropped.
    """

    number: np.ndarray
    used: np.ndarray
    rows: dict[str, np.ndarray]
    trained: dict[str, list[str]]
    targets: list[str]
    held_out: np.ndarray
    roles: dict[str, tuple[int, str, list[str]]]

    def table(self) -> pd.DataFrame:
        """Return the roles as a table: perturbation, n_cells, role."""
        rows = [(label, n_cells, role) for label, (n_cells, role, _) in self.roles.items()]
        return pd.DataFrame(rows, columns=["perturbation", "n_cells", "role"])

    def genes_of(self, label: str) -> list[str]:
        """Return the genes of a perturbation."""
        return self.roles[label][2]


def perturbed_cells(
    adata: AnnData,
    measured: Sequence[str],
    perturbation_key: str | None,
    control: str | None,
    holdout: str | Sequence[str],
    min_cells: int,
    features: FeaturesOf,
    test_controls: float,
    rng: np.random.Generator,
) -> PerturbedCells:
    """Sort the cells; say in one message which perturbations are dropped, and why.

    Of the control cells the share `test_controls`, drawn at random, is kept out.
    """
    if perturbation_key is None or control is None:
        raise ValueError(
            "model='sccvae' learns from measured perturbations; name their obs column and its value for unperturbed "
            "cells, perturbation_key=... and control=..."
        )
    if min_cells < 2:
        raise ValueError(f"min_cells={min_cells} must be at least 2: one cell to train on and one to validate on.")
    if not 0 <= test_controls < 1:
        raise ValueError(f"test_controls={test_controls} must be at least 0 and below 1.")
    genes = set(measured) | (set(map(str, features.index)) if isinstance(features, pd.DataFrame) else set())
    values = perturbations(adata, perturbation_key, control, genes)
    known = sorted(set(values.dropna()) - {control})
    wanted = [holdout] if isinstance(holdout, str) else list(holdout)
    kept_out = {spelled(str(label), control, genes) for label in wanted}
    if missing := sorted(kept_out - set(known)):
        raise KeyError(unknown("perturbation", missing, known, f"obs[{perturbation_key!r}]"))
    rows = {label: np.flatnonzero(values == label) for label in known}
    of = {label: members(label, genes) for label in known}
    few = [label for label in known if label not in kept_out and len(rows[label]) < min_cells]
    described = _described(features, measured)
    blind = [label for label in known if label not in few and not (described is None or described >= {*of[label]})]
    _tell(few, blind, min_cells)
    trained = {label: of[label] for label in known if label not in {*few, *blind, *kept_out}}
    controls = np.flatnonzero(values == control)
    apart = np.sort(rng.permutation(controls)[: round(test_controls * len(controls))])
    controls = np.setdiff1d(controls, apart)
    _require(trained, controls, known, few, blind)
    number = np.full(adata.n_obs, -1)
    for position, label in enumerate(trained):
        number[rows[label]] = position
    used = number >= 0
    used[controls] = True
    role = {label: HELD_OUT if label in kept_out else TRAINED if label in trained else DROPPED for label in known}
    return PerturbedCells(
        number=number,
        used=used,
        rows={"": controls, **{label: rows[label] for label in trained}},
        trained=trained,
        targets=sorted({gene for genes in trained.values() for gene in genes}),
        held_out=np.concatenate([apart, *(rows[label] for label in sorted(kept_out))]),
        roles={label: (len(rows[label]), role[label], of[label]) for label in known},
    )


def _described(features: FeaturesOf, measured: Sequence[str]) -> set[str] | None:
    """Return the genes that have features; None if all genes have."""
    if isinstance(features, pd.DataFrame):
        return {str(name) for name in features.index}
    return None if features == "onehot" else set(measured)


def _tell(few: list[str], blind: list[str], min_cells: int) -> None:
    parts = []
    if few:
        parts.append(f"{listed(few)}, of fewer than min_cells={min_cells} cells")
    if blind:
        parts.append(f"{listed(blind)}, whose genes have no features (not measured; name them in features=...)")
    if parts:
        logger.warning("Perturbations left out of the fit: %s.", "; ".join(parts))


def _require(
    trained: dict[str, list[str]], controls: np.ndarray, known: list[str], few: list[str], blind: list[str]
) -> None:
    if len(controls) < _MIN_CONTROLS:
        raise ValueError(f"A fit needs at least {_MIN_CONTROLS} control cells, got {len(controls)}.")
    if len(trained) < 2:
        raise ValueError(
            f"A fit needs at least 2 perturbations to train on, got {len(trained)} of {len(known)} "
            f"({len(few)} of too few cells, {len(blind)} without features)."
        )
