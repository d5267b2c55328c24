"""Every place in an AnnData that this package writes to, and how names are spelled there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = "dko"

# Inside uns[key]
PARAMS = "params"
WEIGHTS = "weights"
GENES = "genes"
GROUPS = "groups"
HISTORY = "history"
PAIRS = "pairs"
KNOCKOUTS = "knockouts"
TARGETS = "targets"
PERTURBATIONS = "perturbations"

# Kinds of models, as in uns[key]["params"]["model"]
DKO = "dko"
SCCVAE = "sccvae"

# Inside uns[key]["weights"], where effects are total: the map that knockouts go through, and how cells vary around it
TOTAL_INFLUENCE = "total_influence"
TOTAL_INTERCEPT = "total_intercept"
VARIATION = "variation"
SIGNAL = "signal"

# Inside uns[evaluation(key)], beside PARAMS
TABLE = "table"
SUMMARY = "summary"

# Categories of the obs column of the split
TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
UNUSED = "unused"
SPLITS = [TRAIN, VALIDATION, TEST, UNUSED]

# A frame in obsm with more columns than this cannot be written to h5ad: the header of its group overflows.
MAX_FRAME_COLUMNS = 4_000


def split(key: str) -> str:
    """``obs`` column: train, validation, test or unused."""
    return f"{key}_split"


def fit_error(key: str) -> str:
    """``obs`` column: Bray-Curtis dissimilarity of predicted and observed profile."""
    return f"{key}_fit_error"


def impact(key: str) -> str:
    """``obsm`` frame of named knockouts, and ``layers`` entry of the scan over all genes."""
    return f"{key}_impact"


def impact_mean(key: str) -> str:
    """``var`` column: mean impact over the cells that express the gene."""
    return f"{key}_impact_mean"


def signal(key: str) -> str:
    """``var`` column: false discovery rate at which any other gene goes with this one."""
    return f"{key}_signal"


def n_cells(key: str) -> str:
    """``var`` column: number of scanned cells that express the gene."""
    return f"{key}_n_cells"


def evaluation(key: str) -> str:
    """``uns`` entry: how well the model foretells measured knockouts."""
    return f"{key}_evaluation"


def ko_layer(key: str, knockout: str) -> str:
    """``layers`` entry: predicted profile after a knockout."""
    return f"{key}_ko_{escape(knockout)}"


def label(genes: Iterable[str]) -> str:
    """Name of a knockout: its genes, sorted, joined with ``+``."""
    return "+".join(sorted(genes))


def escape(name: str) -> str:
    """Spell a name so that it can be a key: ``/`` would nest a group in the file, or is refused outright."""
    return name.replace("%", "%25").replace("/", "%2F")


def unescape(name: str) -> str:
    """Undo :func:`escape`."""
    return name.replace("%2F", "/").replace("%25", "%")


# Inside uns[dose_response(key)] and uns[modules(key)], beside PARAMS and TABLE
RESPONDERS = "responders"
MARKERS = "markers"
AGREEMENT = "agreement"
VECTORS = "vectors"
# Module of perturbations that do nothing that can be told from chance
NO_EFFECT = "no effect"


def dose_response(key: str) -> str:
    """``uns`` entry: what knockouts do at several doses."""
    return f"{key}_dose_response"


def modules(key: str) -> str:
    """``uns`` entry: groups of perturbations of one kind."""
    return f"{key}_modules"


# Categories of the obs column of folds, beside their numbers
CONTROL = "control"
CONTROL_TEST = "control_test"
