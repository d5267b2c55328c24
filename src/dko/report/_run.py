"""A fit with its results, as reports and the command line show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
from anndata import AnnData
from mudata import MuData

from .. import get, pl
from .._compat import layer_names
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import Fitted, read_fitted
from .._core.groups import group_values, grouping
from .._core.results import QUALITY, RANKING, Result, is_ranking, ranking_at, read_params

# Embeddings that show the types of cells, best first.
_BASES = ("X_umap", "umap", "X_tsne", "tsne", "spatial", "X_pca")


class Ranking(NamedTuple):
    """A ranking: column of its groups, key in ``uns`` if :func:`dko.tl.rank_genes` made it, and the table."""

    groupby: str | None
    place: str | None
    table: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """A fit with its results; `labels` are the knockouts to show, None shows all."""

    adata: AnnData
    fitted: Fitted
    groupby: str | None
    n_rows: int
    labels: Sequence[str] | None = None

    @property
    def key(self) -> str:
        return self.fitted.key

    def can_have(self, result: Result) -> bool:
        """Whether the model has what this result takes."""
        return getattr(self.fitted.model, result.needs, None) is not None

    def has(self, result: Result) -> bool:
        """Whether there is anything to show of a result."""
        if result is RANKING:
            return bool(self.rankings)
        if result is QUALITY:
            return self.can_have(result) or keys.HISTORY in self.fitted.tables
        place = result.place(self.key)
        return result.what in self.fitted.tables if place == self.key else place in self.adata.uns

    @property
    def groups(self) -> pd.Series:
        """Group of each cell that has one; empty without groups."""
        return pd.Series(dtype=object) if self.groupby is None else group_values(self.adata, self.groupby).dropna()

    @property
    def basis(self) -> str | None:
        return next((name.removeprefix("X_") for name in _BASES if name in self.adata.obsm), None)

    @cached_property
    def quality(self) -> pd.DataFrame | str | None:
        """How well the fit predicts cells; why that is unknown; None of a model that predicts no profiles."""
        try:
            return self.get("fit_quality", groupby=self.groupby) if self.can_have(QUALITY) else None
        except KeyError as error:  # cells may have been taken away since
            return str(error.args[0])

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Rankings of a scan: of the groups, if there are any, and over all cells, if the fit is of all of them."""
        if not self.can_have(RANKING) or keys.impact(self.key) not in layer_names(self.adata):
            return []
        made = ranked_columns(self.adata, self.key)
        found = []
        for groupby in dict.fromkeys([self.groupby, self.fitted.params.get("groupby")]):
            place = next((name for name, column in made.items() if column == (groupby or "all")), None)
            table = self.get("ranking", groupby=groupby, key_added=place)
            # Without a ranking over all cells, that of the groups would stand in for it.
            if ("group" in table) == (groupby is not None):
                found.append(Ranking(groupby, place, table))
        return found

    def get(self, name: str, *words: Any, **how: Any) -> Any:
        return getattr(get, name)(self.adata, *words, key=self.key, **how)

    def draw(self, name: str, *words: Any, **how: Any) -> Any:
        return getattr(pl, name)(self.adata, *words, key=self.key, return_fig=True, **how)

    def call(self, name: str, *words: str, **options: object) -> str:
        """Spell a call of this package out, as it would be written in Python."""
        given = {**options, "key": None if self.key == keys.DEFAULT else self.key}
        named = [f"{option}={value!r}" for option, value in given.items() if value is not None]
        return f"dko.{name}({', '.join(['adata', *filter(None, words), *named])})"


def open_run(
    data: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna", groupby: str | None = None, n_rows: int = 20
) -> Run:
    """Find the fit, and the column of the groups: the one asked for, of the ranking, or of the fit."""
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    if groupby is not None:
        grouping(adata, groupby)  # or says that these are no groups
    else:
        ranked = [column for column in ranked_columns(adata, key).values() if column in adata.obs]
        groupby = ranked[0] if ranked else fitted.params.get("groupby")
    return Run(adata, fitted, groupby, n_rows)


def ranked_columns(adata: AnnData, key: str) -> dict[str, str]:
    """Return the column of the groups of each ranking of a fit, the default one first."""
    default = RANKING.place(key)
    others = {RANKING.place(name) for name in adata.uns if name != key}
    names = sorted(set(adata.uns) - others, key=lambda name: (name != default, name))
    read = {name: read_params(adata, ranking_at(name), key) for name in names if is_ranking(adata.uns[name])}
    return {name: str(params["groupby"]) for name, params in read.items()}
