"""Rankings of genes in a file, overall and per group, with what they were tested for if they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import get
from .._compat import layer_names
from .._core import keys
from .._core.results import is_ranking, ranking_at, read_params

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from .._core.fitted import Fitted

# What scanpy calls the one group of a ranking without groups.
_ALL = "all"


@dataclass(frozen=True)
class Ranking:
    """A ranking.

    Attributes
    ----------
    groupby
        Column of the groups; None overall.
    place
        Key in ``uns`` of the result of ``tl.rank_genes``; None where there is none.
    table
        As ``get.ranking`` returns it.
    """

    groupby: str | None
    place: str | None
    table: pd.DataFrame

    @property
    def where(self) -> dict[str, Any]:
        """Keywords that find it."""
        return {"groupby": self.groupby, "key_added": self.place}


def read_rankings(adata: AnnData, fitted: Fitted, groupby: str | None) -> list[Ranking]:
    """Return the rankings that a scan has: of the groups, if there are any, and overall, if the fit is."""
    if fitted.kind != keys.DKO or keys.impact(fitted.key) not in layer_names(adata):
        return []
    wanted: list[str | None] = [] if groupby is None else [groupby]
    if fitted.params.get("groupby") is None:
        wanted.append(None)
    found = [_read(adata, fitted.key, column) for column in wanted]
    # Without an overall ranking, that of the groups would stand in for it.
    return [one for one in found if ("group" in one.table) == (one.groupby is not None)]


def ranked_by(adata: AnnData, key: str) -> str | None:
    """Return the first column by whose groups genes were ranked that is still there."""
    columns = [column for column in _columns(adata, key).values() if column != _ALL and column in adata.obs]
    return columns[0] if columns else None


def _read(adata: AnnData, key: str, groupby: str | None) -> Ranking:
    places = [name for name, column in _columns(adata, key).items() if column == (groupby or _ALL)]
    place = places[0] if places else None
    return Ranking(groupby, place, get.ranking(adata, groupby=groupby, key=key, key_added=place))


def _columns(adata: AnnData, key: str) -> dict[str, str]:
    """Return the column of the groups of each ranking, the default one first; not those of other fits."""
    default = keys.ranking(key)
    others = {keys.ranking(name) for name in adata.uns if name != key}
    names = sorted(adata.uns, key=lambda name: name != default)
    return {
        name: str(read_params(adata, ranking_at(name), key)["groupby"])
        for name in names
        if name not in others and is_ranking(adata.uns[name])
    }
