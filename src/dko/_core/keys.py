"""Every place in an AnnData that this package writes to, and how names are spelled there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .messages import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd


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
CELLS = "cells"
PERTURBATIONS = "perturbations"

# Inside uns[key]["cells"], beside GROUP: numbers that stand for the names of cells of a fit by groups
NAMES = "names"

# Columns of uns[key]["history"] that name the model: of a group of cells, or one of several that are averaged
GROUP = "group"
MEMBER = "member"

# Kinds of models, as in uns[key]["params"]["model"]
DKO = "dko"
SCCVAE = "sccvae"

# Inside uns[key]["weights"], where effects are total: what the loss of each gene does, and how much of it it shares
TOTAL_INFLUENCE = "total_influence"
TOTAL_CORRELATION = "total_correlation"
TOTAL_STEP = "total_step"
TOTAL = {"influence": TOTAL_INFLUENCE, "correlation": TOTAL_CORRELATION, "step": TOTAL_STEP}
SIGNAL = "signal"
# What knockouts of permuted genes seem to do, and which genes these were
NULL_CHANGES = "null_changes"
NULL_GENES = "null_genes"
NULL = {"genes": NULL_GENES, "changes": NULL_CHANGES}
# Of version 0.1.0, beside the influence; no longer used
TOTAL_INTERCEPT = "total_intercept"
VARIATION = "variation"

# Inside uns[evaluation(key)], beside PARAMS
TABLE = "table"
SUMMARY = "summary"
# Metrics there that are errors.
LOWER_IS_BETTER = ("relative_error", "mse", "mse_corrected", "energy_distance", "mmd")

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


def downstream(key: str) -> str:
    """``obsm`` frame and ``layers`` entry: impact on the other genes alone."""
    return f"{key}_downstream"


def impact_mean(key: str) -> str:
    """``var`` column: mean impact over the cells that express the gene."""
    return f"{key}_impact_mean"


def downstream_mean(key: str) -> str:
    """``var`` column: mean downstream impact over the cells that express the gene."""
    return f"{key}_downstream_mean"


def signal(key: str) -> str:
    """``var`` column: false discovery rate of the downstream impact in the cells of the fit."""
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


# Of names, what cannot be part of a key: "/" nests a group in the file or is refused outright, zarr takes "\\" for it,
# "%" stands for all of them, and ends of spaces and control characters are lost or refused.
_NOT_IN_KEYS = re.compile(r"[%/\\\x00-\x1f\x7f]|^ | $")
# What cannot be all of a key: places in a file system, and names that formats have for their own.
_NO_KEYS = re.compile(r"\.+|_index|__.*|\.z.*|zarr\.json", re.DOTALL)


def escape(name: str) -> str:
    """Spell a name so that it can be a key, or a part of one, in every kind of file."""
    escaped = _NOT_IN_KEYS.sub(lambda found: _code(found[0]), name)
    return _code(name[0]) + escaped[1:] if _NO_KEYS.fullmatch(escaped) else escaped


def column(name: str, index: pd.Index) -> str:
    """Spell a name as a column of a frame in obsm or varm, which cannot be called as the index is."""
    escaped = escape(name)
    return _code(name[0]) + escaped[1:] if escaped == index.name and escaped[0] != "%" else escaped


def _code(character: str) -> str:
    return f"%{ord(character):02X}"


def unescape(name: str) -> str:
    """Undo :func:`escape`."""
    return re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name)


def require_key(name: str, parameter: str) -> None:
    """Refuse what cannot be the first part of keys as it is."""
    if not name or _NOT_IN_KEYS.search(name.replace("%", "")) or _NO_KEYS.fullmatch(name) or len(name.encode()) > 100:
        raise ValueError(
            f"{parameter}={shown(name)} must be a name without '/', '\\' and control characters, of at most 100 bytes: "
            "it becomes part of names in files."
        )


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


def cluster(key: str) -> str:
    """``obs`` column: group of the cell by what it depends on; and ``uns`` entry: how the groups were found."""
    return f"{key}_cluster"


def impact_pca(key: str) -> str:
    """``obsm`` array: principal components of the impacts in each cell."""
    return f"X_{key}_impact_pca"


def impact_umap(key: str) -> str:
    """``obsm`` array: map of the cells by their impacts."""
    return f"X_{key}_impact_umap"


def identity(key: str) -> str:
    """``uns`` entry: where knockouts would move cells, and which types they come closer to."""
    return f"{key}_identity"


def shift(key: str, basis: str, knockout: str) -> str:
    """``obsm`` array: by how much a knockout would move each cell on an embedding."""
    return f"{key}_shift_{basis}_{escape(knockout)}"


def cell_identity(key: str, knockout: str) -> str:
    """``obsm`` frame: change of the similarity of each cell to each type."""
    return f"{key}_identity_{escape(knockout)}"


def interactions(key: str) -> str:
    """``uns`` entry: what pairs of genes do together."""
    return f"{key}_interactions"


def ranking(key: str) -> str:
    """``uns`` entry: keystone genes as scanpy ranks genes; ``varm`` frame: mean downstream impact per group."""
    return f"{key}_ranking"


def pval_adj(key: str) -> str:
    """``var`` column: false discovery rate of the downstream impact in the scanned cells."""
    return f"{key}_pval_adj"


def affected(key: str) -> str:
    """``uns`` entry: genes that knockouts change."""
    return f"{key}_affected"


def enrichment(key: str) -> str:
    """``uns`` entry: sets of genes that knockouts change."""
    return f"{key}_enrichment"
