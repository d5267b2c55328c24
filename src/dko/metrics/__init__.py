"""Pure array functions that measure."""

from ._bray_curtis import bray_curtis
from ._fit_quality import fit_quality
from ._gene_mean import gene_mean

__all__ = ["bray_curtis", "fit_quality", "gene_mean"]
