"""Tools: they read an AnnData or MuData, call the models, and write the results back."""

from ._dose_response import dose_response
from ._double_ko import double_ko
from ._evaluate import evaluate
from ._fit import fit
from ._perturbation_modules import perturbation_modules
from ._scan import scan
from ._virtual_ko import virtual_ko

__all__ = ["dose_response", "double_ko", "evaluate", "fit", "perturbation_modules", "scan", "virtual_ko"]
