"""Perturbations that a user names, for a model that was trained on some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _keys
from ._labels import gene_sets
from ._perturbations import members
from ._perturber import require_targets

if TYPE_CHECKING:
    from ._labels import Knockouts
    from ._perturber import Perturber


def perturbed_sets(genes: Knockouts, perturber: Perturber) -> dict[str, list[str]]:
    """Return the genes of each perturbation by its label; ``"A+B"`` and ``("B", "A")`` are one."""
    known = set(perturber.fitted.targets)
    named = [members(given[0], known) if len(given) == 1 else given for given in gene_sets(genes)]
    require_targets([gene for some in named for gene in some], perturber.fitted, perturber.adata)
    return {_keys.label(some): some for some in named}
