"""A fitted model as it lies in an AnnData: its arrays and its genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..models import Frame, model_class
from . import keys
from .cells import Source, require_unique
from .checks import checked_cells, checked_frame, checked_weights
from .messages import listed
from .results import OF_MODEL, checked_table, damaged
from .scale import Scale

if TYPE_CHECKING:
    from .._typing import AnnData
    from ..models import Model


@dataclass(frozen=True)
class Fitted:
    """What ``uns[key]`` holds after a fit: a frame and arrays (:class:`dko.models.Model`), and what is beside them."""

    key: str
    params: dict[str, Any]
    genes: list[str]
    groups: list[str]
    weights: dict[str, np.ndarray]
    targets: list[str] = field(default_factory=list)
    # Of a fit by groups, which of its cells were in which group, as `membership` has it; empty where it is not known.
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    # Not checked before :meth:`table` is asked for one.
    tables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Under which name its model is registered."""
        return str(self.params.get("model", keys.DKO))

    @cached_property
    def model(self) -> Model:
        """The model itself."""
        return model_class(self.kind)(Frame(self.params, self.genes, self.groups, self.targets), self.weights)

    @property
    def signal(self) -> np.ndarray | None:
        """False discovery rate of the downstream impact of each gene, where it is known."""
        return self.weights.get(keys.SIGNAL)

    def table(self, name: str) -> pd.DataFrame:
        """Return a copy of a table beside the model; KeyError: such a model leaves none; ValueError: damaged."""
        if name not in self.tables and name in (keys.HISTORY, keys.PERTURBATIONS) and name not in self.model.tables:
            raise KeyError(f"adata.uns[{self.key!r}] has no {name}: a model of kind {self.kind!r} leaves none.")
        with damaged(
            f"adata.uns[{self.key!r}] is not as it was written", "run the function that made this table again"
        ):
            return checked_table(self.tables, name, OF_MODEL[name])


def read_fitted(adata: AnnData, key: str) -> Fitted:
    """Read a fitted model; a KeyError says that there is none, a ValueError that it is not as a fit has left it."""
    model = adata.uns.get(key)
    if not _is_model(model):
        raise KeyError(f"No fitted model in adata.uns[{key!r}]; run dko.tl.fit(adata, key_added={key!r}) first.")
    with damaged(
        f"adata.uns[{key!r}] is not as dko.tl.fit has left it", f"run dko.tl.fit(adata, key_added={key!r}) again"
    ):
        frame, weights = checked_frame(model), model.get(keys.WEIGHTS)
        if not isinstance(weights, Mapping):
            raise ValueError(f"it lacks {keys.WEIGHTS!r}")
        arrays = checked_weights(frame, {str(name): np.asarray(array) for name, array in weights.items()})
        cells = checked_cells(frame, model.get(keys.CELLS, {}))
        return Fitted(key, frame.params, frame.genes, frame.groups, arrays, frame.targets, cells, model)


def _is_model(entry: Any) -> bool:
    """Whether an entry is a model, though a damaged one may lack a part."""
    parts = {keys.PARAMS, keys.GENES, keys.GROUPS, keys.WEIGHTS}
    return isinstance(entry, Mapping) and len(parts.intersection(entry)) >= len(parts) - 1


# Parameters that say where the expression is, and which are those of the cells at hand, not of the model.
SOURCE = ("layer", "use_raw", "log1p", "values", "log_base", "scale")


def source_params(scale: Scale, source: Source) -> dict[str, Any]:
    """Return the parameters that say where expression was found; None is left out, as files do not keep it."""
    of_source = {"layer": source.layer, "use_raw": source.use_raw, "log1p": scale.base is not None}
    found = {**of_source, "values": scale.kind, "log_base": scale.base, "scale": scale.trust}
    return {name: value for name, value in found.items() if value is not None}


def check_key(adata: AnnData, key: str) -> None:
    """Refuse a key for a new model that something else has."""
    if key in adata.uns and not _is_model(adata.uns[key]):
        raise ValueError(f"adata.uns[{key!r}] holds something that is not a model; choose another key_added.")


def check_place(adata: AnnData, key: str) -> None:
    """Refuse a key for a result that a model has."""
    if _is_model(adata.uns.get(key)):
        raise ValueError(f"adata.uns[{key!r}] holds a model; choose another key_added.")


def gene_columns(adata: AnnData, fitted: Fitted) -> np.ndarray:
    """Find the genes of the model in ``var_names``, by name, wherever they are now."""
    require_unique(adata.var_names)
    columns = adata.var_names.get_indexer(fitted.genes)
    if (columns < 0).any():
        gone = [gene for gene, column in zip(fitted.genes, columns, strict=True) if column < 0]
        raise KeyError(
            f"var_names lacks {len(gone)} of the {len(fitted.genes)} genes of the fit: {listed(gone)}; a model needs "
            "to know of all its genes whether they are present, so use the AnnData of the fit, or fit again."
        )
    return columns


def signal_column(
    weights: Mapping[str, np.ndarray], genes: Sequence[str], adata: AnnData, key: str
) -> dict[str, np.ndarray]:
    """Return the ``var`` column of the signal of the genes of a model, NaN at others; none with direct effects."""
    if keys.SIGNAL not in weights:
        return {}
    column = np.full(adata.n_vars, np.nan, dtype=np.float32)
    column[adata.var_names.get_indexer(list(genes))] = weights[keys.SIGNAL]
    return {keys.signal(key): column}


_OF_MODELS = (keys.GROUP, keys.MEMBER)


def together(histories: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """Put histories into one table, with a first column that names the model."""
    table = pd.concat(histories, names=[column]).reset_index(level=column).reset_index(drop=True)
    return as_read(table)


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a history with categories where a file has kept text."""
    # In the order of the models, not of their names.
    ordered = {name: pd.Categorical(table[name], table[name].unique()) for name in _OF_MODELS if name in table}
    return table.assign(**ordered)


def apart(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the history of each model by name, ``""`` where there is one alone."""
    for name in _OF_MODELS:
        if name in table:
            before = "member " if name == keys.MEMBER else ""
            return {f"{before}{model}": curve for model, curve in table.groupby(name, observed=True)}
    return {"": table}


def best_loss(table: pd.DataFrame) -> float:
    """Return the loss of the weights that were kept, on average over the models."""
    losses = [curve["validation_loss"].min() for curve in apart(table).values()]
    return sum(losses) / len(losses)
