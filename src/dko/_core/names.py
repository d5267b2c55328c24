"""What a user may say for knockouts: a gene, a list of genes, tuples of genes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from . import keys
from .groups import group_values, name_in
from .messages import listed, logger, unknown

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import AnnData, Collection, Container


Knockouts: TypeAlias = str | Sequence[str | Sequence[str]]


def gene_sets(genes: Knockouts) -> list[list[str]]:
    """Return the genes of each knockout, sorted: a tuple is a set removed together, a list holds knockouts."""
    if not isinstance(genes, Iterable):
        raise TypeError(f"genes={genes!r} is not a name; {_MAY_BE}.")
    items = [genes] if isinstance(genes, str | tuple) else list(genes)
    sets = [list(item) if isinstance(item, Iterable) and not isinstance(item, str) else [item] for item in items]
    for members in sets:
        if wrong := [gene for gene in members if not isinstance(gene, str)]:
            raise TypeError(f"genes holds {wrong[0]!r}, which is not a name; {_MAY_BE}.")
    if not sets or not all(members and all(members) for members in sets):
        raise ValueError(f"genes names no gene; {_MAY_BE}.")
    return [sorted(set(members)) for members in sets]


_MAY_BE = "give a symbol, a list of symbols, or tuples of symbols"


def labels_of(genes: Knockouts) -> list[str]:
    """Return the labels of knockouts; what is a label already stays as it is."""
    return [keys.label(members) for members in gene_sets(genes)]


def known_labels(genes: Knockouts, known: Collection[str], where: str, call: str) -> list[str]:
    """Return the labels of knockouts, each once; a KeyError says which are not among the known, and what to run."""
    labels = [label if label in known else keys.label(label.split("+")) for label in labels_of(genes)]
    if missing := [label for label in labels if label not in known]:
        raise KeyError(f"{unknown('knockout', missing, known, where)} Run {call} for it first.")
    return list(dict.fromkeys(labels))


# What becomes of a perturbation in a fit
TRAINED, HELD_OUT, DROPPED = "trained", "held out", "dropped"


# What is commonly called a control, beside the one that a user names.
_LIKE_CONTROL = re.compile(
    r"(sg)?((neg(ative)?[ _-]?)?(ctrl|control)|nt[cg]?|non[ _-]?target(ing)?|safe[ _-]?target(ing)?|scrambled?"
    r"|unperturbed|mock)(?# numbered guides)([ _-]?\d+)?",
    re.IGNORECASE,
)
# Of several guides: "NegCtrl0_NegCtrl1" has two.
_PARTS = re.compile(r"\+|(?<=\d)_+(?=[A-Za-z])")


def control_of(adata: AnnData, perturbation_key: str, control: str | float | bool) -> str:
    """Return the control as its column spells it; warn of labels that look like other controls; KeyError: not there."""
    values = group_values(adata, perturbation_key, keep=[str(control)])
    n_of = values.dropna().value_counts()
    found = name_in(control, n_of.index)
    if found not in n_of:
        message = unknown("value", [found], n_of.index, f"obs[{perturbation_key!r}]")
        raise KeyError(message if message.endswith("?") else f"{message} There are {listed(sorted(n_of.index), 20)}.")
    others = [
        label for label in n_of.index if all(_LIKE_CONTROL.fullmatch(part.strip()) for part in _PARTS.split(label))
    ]
    if others := [label for label in others if spelled(label, found, ()) != found and label not in adata.var_names]:
        logger.warning(
            "obs[%r] has other labels that look like controls (%s, %d cells); only cells of %r are taken as control: "
            "rename the others if they are controls too.",
            perturbation_key,
            listed(sorted(others)),
            n_of[others].sum(),
            found,
        )
    return found


def warn_of_screen(adata: AnnData) -> None:
    """Warn where a column of obs looks like that of a screen: controls, and genes that X has."""
    for column in adata.obs:
        labels = [label for label in adata.obs[column].dropna().unique() if isinstance(label, str)]
        if len(labels) == adata.n_obs > 1:  # names of cells
            continue
        controls = [label for label in labels if _LIKE_CONTROL.fullmatch(label.strip())]
        if controls and not adata.var_names.intersection(labels).empty:
            logger.warning(
                "obs[%r] has controls (%r) and genes, as a screen of knockouts has; all these cells are fitted as if "
                "they were unperturbed: pass perturbation_key=%r, control=%r.",
                *(column, controls[0], column, controls[0]),
            )


def perturbations(adata: AnnData, perturbation_key: str, control: str, genes: Container[str]) -> pd.Series:
    """Return the perturbation of each cell in one spelling; of control cells `control`, missing ones stay missing."""
    values = group_values(adata, perturbation_key, keep=[control])
    return values.map({label: spelled(label, control, genes) for label in values.dropna().unique()}).astype(object)


def spelled(label: str, control: str, genes: Container[str]) -> str:
    """Name a perturbation of several genes whatever their order, and whether the control is named with them."""
    if label == control or label in genes or "+" not in label:
        return label
    parts = {part.strip() for part in label.split("+")} - {"", control}
    return keys.label(parts) or control


def members(label: str, genes: Container[str]) -> list[str]:
    """Return the genes of a perturbation in the spelling of :func:`spelled`."""
    return [label] if label in genes else sorted(set(label.split("+")))
