"""Example data: simulated cells whose true knockouts are known, and a few real ones."""

from ._grn import grn
from ._grn_types import grn_types
from ._pbmc68k import pbmc68k
from ._perturb_seq import perturb_seq
from ._truth import grn_impact, grn_knockout

__all__ = ["grn", "grn_impact", "grn_knockout", "grn_types", "pbmc68k", "perturb_seq"]
