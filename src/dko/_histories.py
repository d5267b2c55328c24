"""Loss histories of models that were fitted one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from . import _keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OF_MODELS = (_keys.GROUP, _keys.MEMBER)


def of_members(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the histories of the members of a model, counted from 1, into one table."""
    return together({str(number): history for number, history in enumerate(histories, start=1)}, _keys.MEMBER)


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
            before = "member " if name == _keys.MEMBER else ""
            return {f"{before}{model}": curve for model, curve in table.groupby(name, observed=True)}
    return {"": table}


def best_loss(table: pd.DataFrame) -> float:
    """Return the loss of the weights that were kept, on average over the models."""
    losses = [curve["validation_loss"].min() for curve in apart(table).values()]
    return sum(losses) / len(losses)
