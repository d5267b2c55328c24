"""Perturbations as a column of ``obs`` spells them: which genes each has, whatever the order it names them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _keys
from ._errors import listed, unknown
from ._groups import group_values

if TYPE_CHECKING:
    from collections.abc import Container

    import pandas as pd
    from anndata import AnnData


# What becomes of a perturbation in a fit
TRAINED, HELD_OUT, DROPPED = "trained", "held out", "dropped"


def perturbations(adata: AnnData, perturbation_key: str, control: str | int | bool, genes: Container[str]) -> pd.Series:
    """Return the perturbation of each cell in one spelling, the control as ``str(control)``; missing ones stay missing.

    Raises
    ------
    KeyError
        No such column, or no cell that has the control value.
    """
    values, control = group_values(adata, perturbation_key), str(control)
    known = sorted(values.dropna().unique())
    if control not in known:
        message = unknown("value", [control], known, f"obs[{perturbation_key!r}]")
        raise KeyError(message if message.endswith("?") else f"{message} There are {listed(known)}.")
    return values.map({label: spelled(label, control, genes) for label in known}).astype(object)


def spelled(label: str, control: str, genes: Container[str]) -> str:
    """Name a perturbation of several genes whatever their order, and whether the control is named with them."""
    if label == control or label in genes or "+" not in label:
        return label
    return _keys.label({gene for gene in label.split("+") if gene != control}) or control


def members(label: str, genes: Container[str]) -> list[str]:
    """Return the genes of a perturbation in the spelling of :func:`spelled`."""
    return [label] if label in genes else sorted(set(label.split("+")))
