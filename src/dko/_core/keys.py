"""Every place in an AnnData that this package writes to, and how names are spelled there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

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

# Inside uns[dose_response(key)] and uns[modules(key)], beside PARAMS and TABLE
RESPONDERS = "responders"
MARKERS = "markers"
AGREEMENT = "agreement"
VECTORS = "vectors"
# Module of perturbations without a significant effect
NO_EFFECT = "no effect"

# Categories of the obs column of folds, beside their numbers
CONTROL = "control"
CONTROL_TEST = "control_test"

# A frame in obsm with more columns than this cannot be written to h5ad: the header of its group overflows.
MAX_FRAME_COLUMNS = 4_000


class Place(NamedTuple):
    """A name in an AnnData that is made of the key of the fit: ``impact("dko")`` is ``"dko_impact"``."""

    pattern: str

    def __call__(self, key: str) -> str:
        """Return the name for a fit."""
        return self.pattern.format(key)


# obs columns: train, validation, test or unused; Bray-Curtis dissimilarity of predicted and observed profile
split, fit_error = Place("{}_split"), Place("{}_fit_error")
# layers entries of a scan, and obsm frames of named knockouts: impact; impact on the other genes alone
impact, downstream = Place("{}_impact"), Place("{}_downstream")
# var columns: mean impacts over the cells that express the gene; how many scanned cells these are
impact_mean, downstream_mean, n_cells = Place("{}_impact_mean"), Place("{}_downstream_mean"), Place("{}_n_cells")
# var columns: false discovery rate of the downstream impact in the cells of the fit; in the scanned cells
signal, pval_adj = Place("{}_signal"), Place("{}_pval_adj")
# uns entries; of the ranking also the varm frame of mean downstream impacts per group
evaluation, dose_response, modules = Place("{}_evaluation"), Place("{}_dose_response"), Place("{}_modules")
interactions, identity, affected = Place("{}_interactions"), Place("{}_identity"), Place("{}_affected")
enrichment, ranking = Place("{}_enrichment"), Place("{}_ranking")
# obs column and uns entry: clusters of cells by their impacts; obsm arrays: components and embedding of these
cluster, impact_pca, impact_umap = Place("{}_cluster"), Place("X_{}_impact_pca"), Place("X_{}_impact_umap")


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


def shift(key: str, basis: str, knockout: str) -> str:
    """``obsm`` array: by how much a knockout would move each cell on an embedding."""
    return f"{key}_shift_{basis}_{escape(knockout)}"


def cell_identity(key: str, knockout: str) -> str:
    """``obsm`` frame: change of the similarity of each cell to each type."""
    return f"{key}_identity_{escape(knockout)}"
