"""What is found of each knockout, cell by cell, and the table of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core import keys

if TYPE_CHECKING:
    from ._space import Types


class Found:
    """Shifts of cells, gathered while knockouts go by.

    Parameters
    ----------
    labels
        Of the knockouts.
    cells
        Names of all cells.
    types
        To which cells are similar; None where nobody asks.
    groups
        Type of each cell, None for cells of none.
    """

    def __init__(self, labels: list[str], cells: pd.Index, types: Types | None, groups: np.ndarray | None):
        self._labels, self._cells, self._types, self._groups = labels, cells, types, groups
        n_types = 0 if types is None else len(types.names)
        self.moves = np.full((len(labels), len(cells), 2), np.nan, dtype=np.float32)
        self.lengths = np.full((len(labels), len(cells)), np.nan, dtype=np.float32)
        self.changes = np.full((len(labels), len(cells), n_types), np.nan, dtype=np.float32)

    def add(self, number: int, rows: np.ndarray, shifts: np.ndarray, moves: np.ndarray) -> None:
        """Take in what a knockout does to some cells, among the components and on the embedding."""
        self.moves[number, rows] = moves
        self.lengths[number, rows] = np.linalg.norm(shifts, axis=1)
        if self._types is not None:
            self.changes[number, rows] = self._types.change(rows, shifts)

    @property
    def without_cells(self) -> list[str]:
        """Labels of the knockouts that no cell has taken part in."""
        return [label for label, lengths in zip(self._labels, self.lengths, strict=True) if np.isnan(lengths).all()]

    @property
    def typed(self) -> bool:
        """Whether any cell that has taken part is of a type."""
        return self._groups is not None and bool(pd.notna(self._groups[np.isfinite(self.lengths).any(axis=0)]).any())

    def arrays(self, key: str, basis: str) -> dict[str, Any]:
        """Return the entries of ``obsm``."""
        found: dict[str, Any] = {}
        for number, label in enumerate(self._labels):
            found[keys.shift(key, basis, label)] = self.moves[number]
            if self._types is not None:
                names = [keys.column(name, self._cells) for name in self._types.names]
                found[keys.cell_identity(key, label)] = pd.DataFrame(self.changes[number], self._cells, names)
        return found

    def table(self) -> pd.DataFrame:
        """Return a row per knockout and group of cells, and per type that they come closer to."""
        groups = [""] if self._types is None else self._types.names
        parts = []
        for number, label in enumerate(self._labels):
            for group in groups:
                of_group = True if self._types is None else self._groups == group
                rows = np.flatnonzero(np.isfinite(self.lengths[number]) & of_group)
                if not len(rows):
                    continue
                part: dict[str, Any] = {"knockout": label, "group": group}
                if self._types is not None:
                    part["type"] = self._types.names
                    part["change"] = self.changes[number, rows].mean(axis=0, dtype=float)
                part |= {"length": self.lengths[number, rows].mean(dtype=float), "n_cells": len(rows)}
                parts.append(pd.DataFrame(part, index=None if self._types is not None else [0]))
        return pd.concat(parts, ignore_index=True)
