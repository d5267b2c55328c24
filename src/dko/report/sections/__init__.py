"""The sections of a report, in their order. Each returns what is there, or the call that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._affected import affected
from ._clusters import clusters
from ._doses import doses
from ._evaluation import evaluation
from ._fit import fit
from ._identity import identity
from ._interactions import interactions
from ._knockouts import knockouts
from ._modules import modules
from ._perturbations import perturbations
from ._ranking import ranking

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._blocks import Missing, Section
    from .._run import Run

_DKO = (fit, evaluation, ranking, knockouts, affected, interactions, clusters, identity, doses, modules)
_SCCVAE = (perturbations, fit, evaluation, knockouts, identity, doses, modules)


def sections_of(run: Run) -> tuple[Callable[[Run], Section | Missing], ...]:
    """Return the sections that a model of this kind can have."""
    return _SCCVAE if run.sccvae else _DKO


__all__ = ["sections_of"]
