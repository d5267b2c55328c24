"""What all sections of a report are about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.groups import group_values, grouping
from ._rankings import ranked_by, read_rankings

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .._core.fitted import Fitted
    from ._rankings import Ranking

# Embeddings that tell cells apart at a glance, best first.
_BASES = ("X_umap", "umap", "X_tsne", "tsne", "spatial", "X_pca")


@dataclass(frozen=True)
class Run:
    """A fit with its results, and what the user wants to see of them.

    Attributes
    ----------
    adata
        Cells with all results.
    fitted
        The fit.
    groupby
        Column of cell types, if there is one.
    n_genes
        Rows of tables per group or knockout.
    """

    adata: AnnData
    fitted: Fitted
    groupby: str | None
    n_genes: int

    @property
    def key(self) -> str:
        """Where the results are."""
        return self.fitted.key

    @property
    def sccvae(self) -> bool:
        """Whether the model has learned from perturbations."""
        return self.fitted.kind == keys.SCCVAE

    @property
    def groups(self) -> pd.Series:
        """Group of each cell that has one; empty without groups."""
        return pd.Series(dtype=object) if self.groupby is None else group_values(self.adata, self.groupby).dropna()

    @property
    def basis(self) -> str | None:
        """Name of an embedding to draw cells in."""
        return next((name.removeprefix("X_") for name in _BASES if name in self.adata.obsm), None)

    @cached_property
    def quality(self) -> pd.DataFrame | str:
        """How well the fit predicts cells, or why that cannot be told: cells may have been taken away since."""
        try:
            return get.fit_quality(self.adata, groupby=self.groupby, key=self.key)
        except KeyError as error:
            return str(error.args[0])

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Keystone genes, per group and overall, where genes were scanned."""
        return read_rankings(self.adata, self.fitted, self.groupby)

    def call(self, name: str, *words: str, **options: object) -> str:
        """Spell a call of this package out, as it would be written in Python."""
        given = {**options, "key": None if self.key == keys.DEFAULT else self.key}
        named = [f"{option}={value!r}" for option, value in given.items() if value is not None]
        return f"dko.{name}({', '.join(['adata', *words, *named])})"


def open_run(data: AnnData | MuData, key: str, mod: str, groupby: str | None, n_genes: int) -> Run:
    """Find the fit, and the column of the groups."""
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    if groupby is not None:
        grouping(adata, groupby)  # or says that these are no groups
    return Run(adata, fitted, groupby or ranked_by(adata, key) or fitted.params.get("groupby"), n_genes)
