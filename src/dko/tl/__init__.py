"""Tools: they read an AnnData or MuData, call the models, and write the results back."""

from ._double_ko import double_ko
from ._evaluate import evaluate
from ._fit import fit
from ._scan import scan
from ._virtual_ko import virtual_ko

__all__ = ["double_ko", "evaluate", "fit", "scan", "virtual_ko"]
