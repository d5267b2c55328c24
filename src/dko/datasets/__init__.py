"""Example data: simulated cells whose true knockouts are known, and a few real ones."""

from ._grn import grn
from ._grn_impact import grn_impact
from ._grn_knockout import grn_knockout
from ._grn_types import grn_types
from ._pbmc68k import pbmc68k
from ._perturb_seq import perturb_seq

__all__ = ["grn", "grn_impact", "grn_knockout", "grn_types", "pbmc68k", "perturb_seq"]
