"""On which scale the values of a matrix are: the one place that decides, for both models and on every read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from ._counts import are_counts, evidence
from ._data import matrix, place, row_blocks, sample_rows
from ._log import logger, say
from ._places import counts_elsewhere, other_matrices

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

# No logarithm of a UMI count or of a normalised value exceeds the first: expm1(30) is ten million million. One beyond
# the second would be of a value above three million, and nobody normalises cells to as much.
_LARGEST_LOG1P, _USUAL_LOG1P = 30.0, 15.0
# Counts have a longer tail than their logarithms: their largest value exceeds the median by more than this.
_TAIL = 7.5
# Evidence is certain where chance would give it in fewer than one of a million data sets, in nearly all cells.
_UNLIKELY, _MOST = -14.0, 0.95
# Distinct values of a cell that are looked at.
_DISTINCT = 24
# Cells whose sum says what they were normalised to, and how exactly.
_FEW_CELLS, _SAME_SUM = 10, 1e-3

CERTAIN, DOUBTFUL, SAID = "certain", "doubtful", "said"


@dataclass(frozen=True)
class Scale:
    """What values are.

    Attributes
    ----------
    kind
        ``"counts"``, ``"linear"`` (normalised or corrected values) or ``"log1p"``.
    base
        Base of the logarithm; None where there is none.
    reason
        How that is known.
    trust
        ``"certain"``, ``"doubtful"``, or ``"said"`` by the user against what the values look like.
    """

    kind: str
    base: float | None
    reason: str
    trust: str = CERTAIN

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        if self.base is None:
            return {"counts": "counts"}.get(self.kind, "normalised values, not logarithms")
        return "log1p" if self.base == np.e else f"log1p of base {self.base:g}"

    def same(self, other: Scale) -> bool:
        """Whether both are the same."""
        return (self.kind, self.base) == (other.kind, other.base)

    def to_linear(self, values: sparse.csr_matrix) -> None:
        """Put values on a linear scale, in place."""
        if self.base is None:
            return
        largest = _largest(values)
        if largest > _LARGEST_LOG1P:
            raise ValueError(f"These are no log1p values: the largest is {largest:.4g}; say so with log1p=False.")
        values.data = np.expm1(values.data.astype(np.float64) * np.log(self.base)).astype(np.float32)

    @property
    def params(self) -> dict[str, Any]:
        """What a fit keeps of it."""
        found = {"values": self.kind, "log_base": self.base, "scale": self.trust}
        return {name: value for name, value in found.items() if value is not None}


def scale_of(
    adata: AnnData, layer: str | None, use_raw: bool, log1p: bool | None, values: sparse.csr_matrix | None = None
) -> Scale:
    """Decide on which scale a matrix is: by the counts behind its values, then their sums, other layers and marks.

    Parameters
    ----------
    log1p
        What the user says, which decides between logarithms and others.
    values
        The matrix, where it has been read already; otherwise some of its cells are.

    Raises
    ------
    ValueError
        log1p=True of values that cannot be logarithms; some cells hold logarithms and others do not.
    """
    where, mark = place(layer, use_raw), _mark(adata)
    some = _sample(adata, layer, use_raw) if values is None else values[sample_rows(values.shape[0])]
    largest = _largest(some if values is None else values)
    if are_counts(some) and (values is None or are_counts(values)):
        if log1p and len(some.data):
            raise ValueError(f"log1p=True, but {where} holds whole numbers, which are counts; leave log1p out.")
        return Scale("counts", None, "they are whole numbers")
    if largest > _LARGEST_LOG1P:
        if log1p:
            raise ValueError(f"These are no log1p values: the largest is {largest:.4g}; say so with log1p=False.")
        return Scale("linear", None, f"the largest is {largest:.4g}, and no logarithm is as large")
    found = _by_counts(some, mark, where, log1p) or _by_sums(some, mark) or _by_others(adata, layer, use_raw, some, mark)
    if log1p is not None:
        return _said(found, log1p, mark, where)
    return found or _doubtful(some, largest, mark)


def tell(scale: Scale, adata: AnnData, layer: str | None, use_raw: bool, what: str, otherwise: str = "") -> None:
    """Say what values were taken for, and why; warn where that is not certain."""
    beside = counts_elsewhere(adata, layer, use_raw) if scale.kind != "counts" else None
    better = f" {beside[0]} holds counts: {beside[1]} uses them." if beside else ""
    message = f"Values of {place(layer, use_raw)}: taken as {what}"
    if scale.trust == DOUBTFUL:
        logger.warning("%s, which is not certain: %s. %s.%s", message, scale.reason, otherwise, better)
    else:
        say(f"{message}{'' if scale.kind == 'counts' else f': {scale.reason}'}.{better}")


def scale_now(adata: AnnData, params: Mapping[str, Any]) -> Scale:
    """Decide on which scale the matrix is now that a fit with these parameters has read.

    What is certain is followed, and said once where it is no longer what the fit has read.

    Raises
    ------
    ValueError
        The values have changed, and what they are now is not certain.
    """
    layer, use_raw = params.get("layer"), bool(params["use_raw"])
    known = _of_params(params)
    found = scale_of(adata, layer, use_raw, None)
    if known.kind == found.kind and (known.same(found) or "log_base" not in params):
        return Scale(known.kind, known.base or found.base, found.reason, found.trust)
    if known.trust == SAID and found.kind != "counts":
        return known
    where = place(layer, use_raw)
    if found.trust == CERTAIN:
        _say_once(adata, f"{where} holds {found.name} now, and held {known.name} at the fit; that is allowed for.")
        return found
    if known.kind != "counts" and known.trust != CERTAIN:
        return known
    if known.kind == "counts" and found.base is not None and _mark(adata) is not None:
        _say_once(
            adata, f"{where} held counts at the fit; now taken as {found.name}, but {found.reason}.", logger.warning
        )
        return found
    raise ValueError(
        f"{where} held {known.name} at the fit, and what it holds now is not certain, perhaps {found.name}: "
        f"{found.reason}. Put back what the fit has read, or fit again on a layer that keeps it, layer=..."
    )


def _of_params(params: Mapping[str, Any]) -> Scale:
    """Return what a fit has read; versions before 0.2 kept no more than the kind, and a base of the first model."""
    kind = params["values"]
    base = float(params.get("log_base", np.e)) if kind == "log1p" else None
    return Scale(kind, base, "as at the fit", "certain" if kind == "counts" else params.get("scale", DOUBTFUL))


def _mark(adata: AnnData) -> float | None:
    """Return the base of the logarithm that scanpy has marked; None without a mark."""
    mark = adata.uns.get("log1p")
    base = mark.get("base") if isinstance(mark, Mapping) else None
    return None if mark is None else float(np.e if base is None else base)


def _sample(adata: AnnData, layer: str | None, use_raw: bool) -> sparse.csr_matrix:
    """Read some cells in a few runs, which is cheap from files as well."""
    source, _ = matrix(adata, layer, use_raw)
    found = row_blocks(source, sample_rows(source.shape[0]))
    found.data = np.where(found.data > 0, found.data, 0)  # what is no expression is refused when it is read
    found.eliminate_zeros()
    return found


def _largest(values: sparse.csr_matrix) -> float:
    return float(values.data.max(initial=0.0))


def _linear(values: np.ndarray, base: float | None) -> np.ndarray:
    values = values.astype(np.float64)
    return values if base is None else np.expm1(values * np.log(base))


def _bases(mark: float | None) -> list[float | None]:
    return [None, *dict.fromkeys([*([] if mark is None else [mark]), float(np.e), 2.0, 10.0])]


def _by_counts(values: sparse.csr_matrix, mark: float | None, where: str, log1p: bool | None) -> Scale | None:
    """Decide by whether whole counts are behind the values as they are, or behind the values turned back."""
    distinct, indptr = _distinct(values)
    telling = np.diff(indptr) > 1
    if not telling.any():
        return None
    bases = _bases(mark)
    each = [evidence(_linear(distinct, base), indptr) for base in bases]
    fits = np.array([found.cells[telling] for found in each])
    chance = np.array([np.where(fit, found.log_chance[telling], 0).sum() for fit, found in zip(fits, each, strict=True)])
    best, *others = np.argsort(np.where(fits.mean(axis=1) >= _MOST, chance, 0), kind="stable")
    if fits[best].mean() >= _MOST:
        rivals = [chance[one] for one in others if fits[one].mean() >= _MOST]
        if chance[best] - min([0.0, *rivals]) > _UNLIKELY:
            return None
        return _with_counts(bases[best], mark)
    _refuse_mixture(fits, chance, bases, where, log1p)
    return None


def _with_counts(base: float | None, mark: float | None) -> Scale:
    if base is None:
        other = "" if mark is None else "; the mark in uns['log1p'] is of another matrix"
        return Scale("linear", None, f"whole counts are behind them as they are{other}")
    other = "" if mark in (None, base) else f", not {mark:g} as uns['log1p'] says"
    return Scale("log1p", base, f"whole counts are behind their exponentials of base {_spelled(base)}{other}")


def _spelled(base: float) -> str:
    return "e" if base == np.e else f"{base:g}"


def _refuse_mixture(
    fits: np.ndarray, chance: np.ndarray, bases: list[float | None], where: str, log1p: bool | None
) -> None:
    """Refuse a matrix that is not on one scale."""
    alone = fits & (fits.sum(axis=0) == 1)
    several = (alone.mean(axis=1) > 1 - _MOST) & (chance < 10 * _UNLIKELY)
    if log1p is None and several.sum() > 1 and alone[several].any(axis=0).mean() >= 0.8:
        kinds = ["counts or normalised values" if base is None else Scale("log1p", base, "").name for base in bases]
        raise ValueError(
            f"The cells of {where} are not on one scale: "
            + ", ".join(f"{alone[one].mean():.0%} hold {kinds[one]}" for one in np.flatnonzero(several))
            + "; put them on one scale before they are joined."
        )


def _distinct(values: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of each cell in ascending order, the smallest ones, and where each cell begins."""
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    order = np.lexsort((values.data, row))
    row, data = row[order], values.data[order]
    new = np.append(True, (row[1:] != row[:-1]) | (data[1:] != data[:-1]))[: len(row)]
    row, data = row[new], data[new]
    first = np.searchsorted(row, np.arange(values.shape[0]))
    kept = np.arange(len(row)) - first[row] < _DISTINCT
    return data[kept], np.searchsorted(row[kept], np.arange(values.shape[0] + 1))


def _by_sums(values: sparse.csr_matrix, mark: float | None) -> Scale | None:
    """Decide by which of them have the same sum in all cells: what they were normalised to."""
    values = values[np.diff(values.indptr) > 1]
    if values.shape[0] < _FEW_CELLS:
        return None
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    for base in _bases(mark):
        sums = np.bincount(row, _linear(values.data, base))
        if np.mean(np.abs(sums / np.median(sums) - 1) < _SAME_SUM) >= _MOST:
            what = "they sum" if base is None else f"their exponentials of base {_spelled(base)}, minus 1, sum"
            return Scale("linear" if base is None else "log1p", base, f"{what} to {np.median(sums):.6g} in every cell")
    return None


def _by_others(
    adata: AnnData, layer: str | None, use_raw: bool, values: sparse.csr_matrix, mark: float | None
) -> Scale | None:
    """Decide by another matrix of which these are the logarithms, or which holds the logarithms of these."""
    rows = sample_rows(adata.n_obs)
    columns = (adata.raw.var_names if use_raw else adata.var_names) if adata.n_vars else adata.var_names
    for name, source, names in other_matrices(adata, layer, use_raw):
        shared = columns.intersection(names, sort=False)
        here = columns.get_indexer(shared)
        here = here[here < values.shape[1]]
        shared = columns[here]
        one, other = values[:, here], row_blocks(source, rows)[:, names.get_indexer(shared)]
        one.sort_indices(), other.sort_indices()
        if one.nnz == 0 or not (np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices)):
            continue
        for base in _bases(mark)[1:]:
            if _proportional(_linear(one.data, base), other.data, one.indptr):
                return Scale("log1p", base, f"they are the logarithms of {name}")
            if _proportional(_linear(other.data, base), one.data, one.indptr):
                return Scale("linear", None, f"{name} holds their logarithms")
    return None


def _proportional(one: np.ndarray, other: np.ndarray, indptr: np.ndarray) -> bool:
    """Whether the values of each cell are those of the other up to one factor."""
    with np.errstate(all="ignore"):
        ratio = one / other
    n_entries = np.diff(indptr)
    filled = n_entries > 1
    if not np.isfinite(ratio).all() or not filled.any():
        return False
    least = np.minimum.reduceat(np.append(ratio, 1), indptr[:-1])[filled]
    most = np.maximum.reduceat(np.append(ratio, 1), indptr[:-1])[filled]
    return bool(np.mean(most <= least * (1 + 1e-4)) >= _MOST)


def _said(found: Scale | None, log1p: bool, mark: float | None, where: str) -> Scale:
    """Follow the user, and contradict where the values do."""
    base = found.base if found is not None and found.base is not None else mark or float(np.e)
    said = Scale("log1p", base, "log1p=True says so") if log1p else Scale("linear", None, "log1p=False says so")
    if found is None or said.same(found):
        return found or said
    logger.warning(
        "log1p=%s, but the values of %s look like %s: %s. Leave log1p out to take them as such.",
        log1p,
        where,
        found.name,
        found.reason,
    )
    return Scale(said.kind, said.base, said.reason, SAID)


def _doubtful(values: sparse.csr_matrix, largest: float, mark: float | None) -> Scale:
    """Decide where neither counts nor sums nor another matrix tell: by the mark, if the range allows it, or by the tail."""
    if mark is not None and largest * np.log(mark) <= _USUAL_LOG1P:
        return Scale("log1p", mark, "only the mark in uns['log1p'] says so", DOUBTFUL)
    if mark is not None:
        reason = f"uns['log1p'] is there, but no logarithm of expression is as large as {largest:.4g}"
        return Scale("linear", None, reason, DOUBTFUL)
    reason = "no whole counts are behind them on either scale, and there is no mark in uns['log1p']"
    if largest > _TAIL * float(np.median(values.data)):
        return Scale("linear", None, f"{reason}, but their largest is far above the others", DOUBTFUL)
    return Scale("log1p", float(np.e), f"{reason}, but they are as close together as logarithms", DOUBTFUL)


_TOLD: WeakValueDictionary[tuple[int, str], AnnData] = WeakValueDictionary()


def _say_once(adata: AnnData, message: str, how: Any = say) -> None:
    if _TOLD.get((id(adata), message)) is not adata:
        _TOLD[id(adata), message] = adata
        how(message)
