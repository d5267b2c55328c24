"""Loss histories of models that were fitted one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

# Columns that name the model: of a group of cells, or one of several that are averaged.
OF_MODELS = ("group", "member")


def together(histories: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """Put histories into one table, with a first column that names the model."""
    table = pd.concat(histories, names=[column]).reset_index(level=column).reset_index(drop=True)
    return as_read(table)


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a history with categories where a file has kept text."""
    # In the order of the models, not of their names.
    ordered = {name: pd.Categorical(table[name], table[name].unique()) for name in OF_MODELS if name in table}
    return table.assign(**ordered)


def apart(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the history of each model by name, ``""`` where there is one alone."""
    for name in OF_MODELS:
        if name in table:
            before = "member " if name == "member" else ""
            return {f"{before}{model}": curve for model, curve in table.groupby(name, observed=True)}
    return {"": table}


def best_loss(table: pd.DataFrame) -> float:
    """Return the loss of the weights that were kept, on average over the models."""
    losses = [curve["validation_loss"].min() for curve in apart(table).values()]
    return sum(losses) / len(losses)
