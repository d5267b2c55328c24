"""Virtual gene knockout for AnnData.

What would each cell look like without a gene, and which genes matter most?
"""

from . import datasets, get, io, metrics, pl, pp, tl
from ._settings import settings

__all__ = ["datasets", "get", "io", "metrics", "pl", "pp", "settings", "tl"]
