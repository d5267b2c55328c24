"""Tools: they read an AnnData or MuData, call the models, and write the results back."""

from ._affected_genes import affected_genes
from ._cluster_impact import cluster_impact
from ._dose_response import dose_response
from ._double_ko import double_ko
from ._enrichment import enrichment
from ._evaluate import evaluate
from ._fit import fit
from ._identity_shift import identity_shift
from ._interactions import interactions
from ._perturbation_modules import perturbation_modules
from ._plan import plan
from ._rank_genes import rank_genes
from ._scan import scan
from ._virtual_ko import virtual_ko

__all__ = [
    "affected_genes",
    "cluster_impact",
    "dose_response",
    "double_ko",
    "enrichment",
    "evaluate",
    "fit",
    "identity_shift",
    "interactions",
    "perturbation_modules",
    "plan",
    "rank_genes",
    "scan",
    "virtual_ko",
]
