"""Perturbations that a user names, for a model that was trained on some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _keys
from ._labels import gene_sets
from ._perturbations import members
from ._perturber import require_targets

if TYPE_CHECKING:
    from ._fitted import Fitted
    from ._labels import Knockouts


def perturbed_sets(genes: Knockouts, fitted: Fitted) -> dict[str, list[str]]:
    """Return the genes of each perturbation by its label; ``"A+B"`` and ``("B", "A")`` are one."""
    known = set(fitted.targets)
    named = [members(given[0], known) if len(given) == 1 else given for given in gene_sets(genes)]
    require_targets([gene for some in named for gene in some], fitted)
    return {_keys.label(some): some for some in named}
