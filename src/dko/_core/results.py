"""Results that lie in ``uns``, read in one place: what is not there is named, and what is damaged is not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pandas as pd

from . import columns, keys
from .checks import plain
from .messages import listed

if TYPE_CHECKING:
    from .._typing import AbstractContextManager, AnnData, Iterator
    from .tables import Column

# The tables beside a model: columns that are read of them.
OF_MODEL: dict[str, Sequence[str]] = {
    keys.HISTORY: ("step", "epoch", "train_loss", "validation_loss"),
    keys.PERTURBATIONS: ("perturbation", "n_cells", "role", "strength"),
    keys.KNOCKOUTS: ("label", "dose", "n_cells"),
    keys.PAIRS: ("gene_a", "gene_b", "cell", "impact", "additive", "interaction"),
}


class Result(NamedTuple):
    """A kind of result: where it is, how it is read, and what a report and the command line show of it."""

    what: str  # what it is called
    call: tuple[str, str]  # the function that makes it, and what it has to be given
    place: keys.Place = keys.Place("{}")  # its key in ``uns``, from that of the fit; by default it is beside the model
    tables: Mapping[str, Sequence[str]] = {}  # names of its tables, and the columns that are read of each
    # title, lead: heading, and what it tells in a sentence or two
    title: str = ""
    lead: str = ""
    getter: str = ""  # function of :mod:`dko.get` that returns it
    columns: Mapping[str, Sequence[Column]] = {}  # columns to show, by the name of the table
    needs: str = "knock_out"  # function of the model that it takes, which not every model has

    def made_by(self, key: str) -> str:
        """Spell out the call that makes it."""
        name, given = self.call
        return f"dko.tl.{name}(adata, {given}{', ' * bool(given)}key={key!r})"


QUALITY = Result(
    "quality of the fit",
    ("fit", ""),
    title="Quality of the fit",
    lead="How well the fit predicts cells that it was not trained on.",
    getter="fit_quality",
    needs="reconstruct",
    columns={keys.TABLE: columns.QUALITY},
)
PERTURBATIONS = Result(
    "perturbations",
    ("fit", ""),
    title="Perturbations",
    lead="What became of the perturbations of the screen. Those that were held out are predicted, not learned; "
    "those that were dropped have too few cells, or genes of which nothing is known.",
    columns={keys.TABLE: columns.PERTURBATIONS},
)
KNOCKOUTS = Result(
    "knockouts",
    ("virtual_ko", "genes"),
    title="Named knockouts",
    lead="How far the predicted profile without a gene is from the one before: over the cells that express the gene"
    " or, of a model of perturbations, over control cells.",
    getter="impact",
    columns={keys.TABLE: columns.KNOCKOUTS},
)
RANKING = Result(
    "ranking",
    ("rank_genes", ""),
    keys.ranking,
    {keys.TABLE: ("gene", "impact_mean", "n_cells")},
    title="Keystone genes",
    lead="Genes whose knockout changes the other genes most; those on which other genes significantly depend (FDR <"
    " 0.05) come first. The impact beside it contains the gene's own share of the expression. Sizes are those "
    "of correlation, an upper bound of what is causal.",
    getter="ranking",
    columns={keys.TABLE: columns.RANKING, keys.GROUPS: columns.RANKED_GROUPS},
    needs="scan",
)
AFFECTED = Result(
    "affected genes",
    ("affected_genes", "gene"),
    keys.affected,
    {keys.TABLE: ("knockout", "gene", "n_cells", "change", "z", "pval_adj", "specific")},
    title="Genes that knockouts change",
    lead="Which genes each knockout lowers or raises. `change` is what the model predicts, `z` the co-expression of "
    "the two genes in these cells: trust a change whose z is significant and of the same sign.",
    getter="affected_genes",
    columns={keys.TABLE: columns.AFFECTED, keys.SUMMARY: columns.AFFECTED_COUNTS},
    needs="scan",
)
CLUSTERS = Result(
    "clusters",
    ("cluster_impact", ""),
    keys.cluster,
    {keys.MARKERS: ("cluster", "knockout"), keys.AGREEMENT: ("ami", "ari")},
    title="Dependency clusters",
    lead="Cells grouped by which knockouts have the largest impact on them.",
    getter="clusters",
    columns={keys.MARKERS: columns.CLUSTERS},
    needs="scan",
)
DOSES = Result(
    "doses",
    ("dose_response", "genes"),
    keys.dose_response,
    {
        keys.TABLE: ("knockout", "dose", "impact_mean", "impact_q25", "impact_q75"),
        keys.RESPONDERS: ("knockout", "gene", "dose", "change"),
    },
    title="Dose response",
    lead="What knockouts do as their dose grows.",
    getter="dose_response",
    columns={keys.TABLE: columns.DOSES},
)
ENRICHMENT = Result(
    "enrichment",
    ("enrichment", "net"),
    keys.enrichment,
    {keys.TABLE: ("knockout", "source", "score")},
    title="Sets of genes that knockouts change",
    getter="enrichment",
    columns={keys.TABLE: columns.ENRICHMENT},
    needs="scan",
)
EVALUATION = Result(
    "evaluation",
    ("evaluate", "perturbation_key=..., control=..."),
    keys.evaluation,
    {
        keys.TABLE: ("method", "perturbation", "metric", "value"),
        keys.SUMMARY: ("method", "metric", "mean", "low", "high", "gain", "gain_low", "gain_high"),
    },
    title="Comparison with measured knockouts",
    lead="Predicted effects of the model and of baselines, compared with measured ones.",
    getter="evaluation",
    columns={keys.SUMMARY: columns.EVALUATION},
)
IDENTITY = Result(
    "shifts",
    ("identity_shift", "genes"),
    keys.identity,
    {keys.TABLE: ("knockout", "length", "n_cells")},
    title="Shifts of cell identity",
    lead="In which direction each knockout would shift cells. Arrows are drawn longer or shorter than the shifts, as "
    "the one below them says; take directions, of many cells together, from the picture, and sizes from the table.",
    getter="identity",
    columns={keys.TABLE: columns.IDENTITY},
)
INTERACTIONS = Result(
    "interactions",
    ("interactions", "genes"),
    keys.interactions,
    {keys.TABLE: ("gene_a", "gene_b")},
    title="Interactions of pairs of genes",
    lead="Pairs whose joint impact is larger (synergy) or smaller (buffering) than that of unrelated genes with these "
    "impacts. The model has seen no double knockout: a pair that interacts is one that acts on the same genes.",
    getter="interactions",
    columns={keys.TABLE: columns.INTERACTIONS},
    needs="pair_effects",
)
MODULES = Result(
    "modules",
    ("perturbation_modules", ""),
    keys.modules,
    {
        keys.TABLE: ("perturbation", "module", "strength", "umap_1", "umap_2"),
        keys.MARKERS: ("module", "gene", "change"),
        keys.AGREEMENT: ("ari", "nmi"),
    },
    title="Modules of knockouts",
    lead="Knockouts grouped by the kind of their effect, whatever its strength.",
    getter="modules",
    columns={
        keys.TABLE: columns.MODULES,
        keys.MARKERS: columns.MODULE_MARKERS,
        keys.AGREEMENT: columns.MODULE_AGREEMENT,
    },
)


def ranking_at(place: str) -> Result:
    """Return the kind of result of a ranking, which is stored under a key that the user names."""
    at = keys.Place(place.replace("{", "{{").replace("}", "}}"))
    return RANKING._replace(call=("rank_genes", f"key_added={place!r}"), place=at)


# What a scan writes, and what comes of it, by slot of the AnnData; the ranking where it is by default.
_OF_SCAN = {
    "layers": [keys.impact, keys.downstream],
    "obs": [keys.cluster],
    "obsm": [keys.impact_pca, keys.impact_umap],
    "var": [keys.impact_mean, keys.downstream_mean, keys.n_cells, keys.pval_adj],
    "varm": [keys.ranking],
    "uns": [keys.ranking, keys.cluster],
}
# The same of a fit, beside uns[key] and what a scan has written.
_OF_FIT = {
    "obs": [keys.split, keys.fit_error],
    "obsm": [keys.impact, keys.downstream],
    "var": [keys.signal],
    "uns": [one.place for one in (AFFECTED, DOSES, ENRICHMENT, EVALUATION, IDENTITY, INTERACTIONS, MODULES)],
}

Names: TypeAlias = dict[str, list[str]]


def after_fit(adata: AnnData, key: str) -> Names:
    """Return, by slot of the AnnData, the names of all results of the model under a key, which a new fit removes."""
    found = after_scan(key)
    for slot, places in _OF_FIT.items():
        found[slot] += [place(key) for place in places]
    found["layers"] += [keys.ko_layer(key, label) for label in labels_beside(adata.uns.get(key))]
    found["obsm"] += after_shift(adata, key)["obsm"]
    return found


def after_scan(key: str) -> Names:
    """Return the names of a scan and of the results that come of it, which a new scan removes."""
    return {slot: [place(key) for place in places] for slot, places in _OF_SCAN.items()}


def after_shift(adata: AnnData, key: str) -> Names:
    """Return the names of what ``tl.identity_shift`` has written, which another call removes."""
    try:
        params = read_params(adata, IDENTITY, key)
        labels, basis = [str(label) for label in params["knockouts"]], str(params["basis"])
    except (KeyError, TypeError, ValueError):  # what is damaged no longer says where it has written
        labels, basis = [], ""
    shifts = [keys.shift(key, basis, label) for label in labels]
    return {"uns": [keys.identity(key)], "obsm": [*shifts, *(keys.cell_identity(key, label) for label in labels)]}


def is_ranking(entry: Any) -> bool:
    """Whether an entry of ``uns`` is a ranking of this package, and not one of scanpy or anything else."""
    params = entry.get(keys.PARAMS) if isinstance(entry, Mapping) else None
    return isinstance(params, Mapping) and params.get("method") == keys.DKO


def read_table(adata: AnnData, result: Result, key: str, name: str = keys.TABLE) -> pd.DataFrame:
    """Return a copy of a table of a result; KeyError: not there; ValueError: no longer as it was written."""
    entry = read_entry(adata, result, key)
    with _damaged(result, key):
        return checked_table(entry, name, result.tables[name])


def read_params(adata: AnnData, result: Result, key: str) -> dict[str, Any]:
    """Return the parameters of a result in plain types, or raise as :func:`read_table` does."""
    params = read_entry(adata, result, key).get(keys.PARAMS)
    with _damaged(result, key):
        if not isinstance(params, Mapping):
            raise ValueError(f"it has no {keys.PARAMS!r}")
        return plain(params)


def read_entry(adata: AnnData, result: Result, key: str) -> Mapping[str, Any]:
    """Return what lies at the place of a result, or raise as :func:`read_table` does."""
    place = result.place(key)
    if place not in adata.uns:
        raise KeyError(f"No {result.what} in adata.uns[{place!r}]; run {result.made_by(key)} first.")
    with _damaged(result, key):
        if not isinstance(adata.uns[place], Mapping):
            raise ValueError("it is not a dictionary")
    return adata.uns[place]


def _damaged(result: Result, key: str) -> AbstractContextManager[None]:
    where = f"adata.uns[{result.place(key)!r}]"
    return damaged(f"{where} is not as dko.tl.{result.call[0]} has left it", f"run {result.made_by(key)} again")


def checked_table(entry: Mapping[str, Any], name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return a copy of a table of an entry, rows numbered; a ValueError says in a part of a sentence what is wrong."""
    table = entry.get(name)
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"it has no table {name!r}")
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"the table {name!r} lacks the columns {listed(missing)}")
    return table.reset_index(drop=True)


def labels_beside(entry: Any) -> list[str]:
    """Return the names of the knockouts beside a model, none where there is no table of them any more."""
    try:
        return list(checked_table(entry, keys.KNOCKOUTS, OF_MODEL[keys.KNOCKOUTS])["label"].astype(str))
    except (AttributeError, ValueError):
        return []


@contextmanager
def damaged(what: str, remedy: str = "") -> Iterator[None]:
    """Make one sentence, a ValueError, of whatever is wrong with something that is read."""
    try:
        yield
    except Exception as error:
        # Of ours, or of a library, each of which has its own for what is damaged.
        reason = " ".join(str(error).split())[:300].rstrip(".")
        reason = reason if isinstance(error, ValueError) else f"it is damaged ({type(error).__name__}: {reason})"
        raise ValueError(f"{what}: {reason}{'; ' * bool(remedy)}{remedy}.") from error
