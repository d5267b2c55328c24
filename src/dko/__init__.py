"""Virtual gene knockout for AnnData: what would each cell look like without a gene?"""

from . import datasets, get, io, metrics, pl, pp, tl
from ._settings import settings

__all__ = ["datasets", "get", "io", "metrics", "pl", "pp", "settings", "tl"]
