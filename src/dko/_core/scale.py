"""On which scale the values of a matrix are: the one place that decides, for both models and on every read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import pandas as pd
from scipy import sparse

from .cells import Source
from .evidence import are_counts, over_least, rows_of, units
from .messages import logger, say

if TYPE_CHECKING:
    from .._typing import AnnData, Callable


# No logarithm of a UMI count or of a normalised value exceeds the first: expm1(30) is ten million million. One beyond
# the second would be of a value above three million, and nobody normalises cells to as much.
_LARGEST_LOG1P, _USUAL_LOG1P = 30.0, 15.0

CERTAIN, DOUBTFUL, SAID = "certain", "doubtful", "said"


@dataclass(frozen=True)
class Scale:
    """What values are."""

    kind: str  # ``"counts"``, ``"linear"`` (normalised or corrected values) or ``"log1p"``
    base: float | None  # base of the logarithm; None where there is none
    reason: str  # how that is known
    trust: str = CERTAIN  # ``"certain"``, ``"doubtful"``, or ``"said"`` by the user

    @property
    def name(self) -> str:
        """Its name in messages."""
        if self.base is None:
            return {"counts": "counts"}.get(self.kind, "normalised values, not logarithms")
        return "log1p" if self.base == math.e else f"log1p of base {self.base:g}"

    def to_linear(self, values: sparse.csr_matrix) -> None:
        """Put values on a linear scale, in place."""
        if self.base is not None:
            _require_logs(_largest(values))
            values.data = _linear(values.data, self.base).astype(np.float32)


def scale_of(source: Source, log1p: bool | None, *, counts: bool | None = None, largest: float | None = None) -> Scale:
    """Decide on which scale a matrix is: by the counts behind its values, else by the mark of scanpy, or by sums.

    `log1p` is what the user says. Some cells are looked at; where all have been, `counts` says whether all values are
    whole numbers, and `largest` is the largest. ValueError: impossible, or cells that differ.
    """
    mark, some = _mark(source.adata), _sample(source)
    counts = are_counts(some) if counts is None else counts
    largest = _largest(some) if largest is None else largest
    if counts:
        if log1p and largest:
            raise ValueError(f"log1p=True, but {source} holds whole numbers, which are counts; leave log1p out.")
        return Scale("counts", None, "they are whole numbers")
    if log1p:
        _require_logs(largest)
    found = _by_counts(some, source, mark)
    if largest > _LARGEST_LOG1P:
        return Scale("linear", None, f"the largest is {largest:.4g}, and no logarithm is as large")
    if log1p is None:
        return found or _doubtful(some, largest, mark)
    said = Scale("log1p", mark or math.e, "you say so", SAID) if log1p else Scale("linear", None, "you say so", SAID)
    if found is not None and found.kind != said.kind:
        logger.warning(
            "log1p=%s, but %s; leave log1p out to take the values of %s as such.", log1p, found.reason, source
        )
        return said
    return found or said


# Counts are looked for in values up to this multiple of the least one of their cell, as larger ones would be whole by
# chance; a cell has to have so many different ones. They are certain if found in so many cells, and in most of these.
_NEAR, _FEW_VALUES, _FEW_CELLS, _MOST = 20.0, 3, 10, 0.95
# Relative distance from a whole number that three decimals of a logarithm leave.
_ROUNDED = 2.5e-3


def _by_counts(values: sparse.csr_matrix, source: Source, mark: float | None) -> Scale | None:
    """Decide by whether the values, or their exponentials to one base, are counts times one factor per cell."""
    distinct = pd.DataFrame({"cell": rows_of(values), "value": values.data}).drop_duplicates()
    cell, data, n_cells = distinct["cell"].to_numpy(), distinct["value"].to_numpy(), values.shape[0]
    bases = [None, *dict.fromkeys([mark or math.e, math.e, 2.0, 10.0])]
    telling, fits = np.zeros((2, len(bases), n_cells), dtype=bool)
    for number, base in enumerate(bases):
        if base is None and _is_rounded(data):
            continue
        linear = _linear(data, base)
        near = (over_least(linear, cell) < _NEAR) & (linear < np.expm1(_LARGEST_LOG1P))
        telling[number] = np.bincount(cell[near], minlength=n_cells) >= _FEW_VALUES
        fits[number] = telling[number] & (units(linear[near], cell[near], n_cells, _ROUNDED) > 0)
    n_fits = fits.sum(axis=1)
    able = n_fits >= np.maximum(_MOST * telling.sum(axis=1), _FEW_CELLS)
    if able.any():
        base = bases[int(np.argmax(n_fits * able))]
        what = "they" if base is None else f"their exponentials (base {_spelled(base)})"
        return Scale("linear" if base is None else "log1p", base, f"{what} are counts times one factor per cell")
    fits[1:] &= ~fits[0]  # powers of 2 and 10 are whole as well
    alone = fits & (fits.sum(axis=0) == 1)
    several = np.flatnonzero(alone.sum(axis=1) >= _FEW_CELLS)
    if len(several) > 1 and fits.any(axis=0).sum() >= _MOST * telling.any(axis=0).sum():
        kinds = ["linear values" if base is None else f"logarithms of base {_spelled(base)}" for base in bases]
        shares = ", ".join(f"{alone[number].mean():.0%} hold {kinds[number]}" for number in several)
        raise ValueError(f"The cells of {source} are not on one scale: {shares}; put them on one scale before joining.")
    return None


def _is_rounded(values: np.ndarray) -> bool:
    """Whether values were rounded to three decimals: all such numbers are whole multiples of one, whatever they are."""
    return bool((values % 1 != 0).any() and np.allclose(values.round(3), values, rtol=1e-6, atol=0))


def _spelled(base: float) -> str:
    return "e" if base == math.e else f"{base:g}"


def _doubtful(values: sparse.csr_matrix, largest: float, mark: float | None) -> Scale:
    """Decide where the values leave it open: by the mark, if the range allows it, or by sums of cells."""
    if mark is not None and largest * np.log(mark) <= _USUAL_LOG1P:
        return Scale("log1p", mark, "uns['log1p'] is the only sign of it", DOUBTFUL)
    reason = "neither they nor their exponentials are counts times one factor per cell"
    # Those of normalised cells are even.
    row = rows_of(values)
    sums = [np.bincount(row, _linear(values.data, base), values.shape[0]) for base in (None, math.e)]
    plain, exponentials = (np.std(np.log(one[one > 0])) if (one > 0).any() else 0.0 for one in sums)
    if exponentials < 0.9 * plain:
        return Scale("log1p", math.e, f"{reason}, but the exponentials have more even sums", DOUBTFUL)
    return Scale("linear", None, reason, DOUBTFUL)


def scale_now(adata: AnnData, params: Mapping[str, Any]) -> Scale:
    """Decide on which scale the matrix of a fit is now, and say once if it has changed; ValueError: not certain."""
    source, kind = source_of(adata, params), params["values"]
    # Version 0.1.0 kept no more of an SCCVAE than the kind.
    base = float(params.get("log_base", math.e)) if kind == "log1p" else None
    known = Scale(kind, base, "as at the fit", CERTAIN if kind == "counts" else params.get("scale", DOUBTFUL))
    found = scale_of(source, None)
    if (found.kind, found.base) == (kind, base) or (known.trust == SAID and found.kind != "counts"):
        return known
    if found.trust == CERTAIN:
        message = f"{source} holds {found.name} now, and held {known.name} at the fit; the values are converted."
        once(adata, message, say)
        return found
    if known.trust != CERTAIN:
        return known
    raise ValueError(
        f"{source} held {known.name} at the fit, and what it holds now is not certain, perhaps {found.name}: "
        f"{found.reason}. Put back what the fit has read, or fit again on a layer that keeps it, layer=..."
    )


def once(adata: AnnData, message: str, tell: Callable[[str], object]) -> None:
    """Tell of an AnnData what has not been said of it before."""
    if _SAID.get((id(adata), message)) is not adata:
        _SAID[id(adata), message] = adata
        tell(message)


_SAID: WeakValueDictionary[tuple[int, str], AnnData] = WeakValueDictionary()


def _mark(adata: AnnData) -> float | None:
    """Return the base of the logarithm that scanpy has marked, e where it names none; None without a mark."""
    mark = adata.uns.get("log1p")
    base = mark.get("base") if isinstance(mark, Mapping) else None
    if isinstance(base, int | float | np.number) and 1 < base < math.inf:
        return float(base)
    return None if mark is None else math.e


def _sample(source: Source) -> sparse.csr_matrix:
    found = source.sample()
    found.data = np.where(found.data > 0, found.data, 0)  # what is no expression is refused when it is read
    found.eliminate_zeros()
    return found


def _largest(values: sparse.csr_matrix) -> float:
    return float(values.data.max(initial=0.0))


def _require_logs(largest: float) -> None:
    if largest > _LARGEST_LOG1P:
        raise ValueError(f"These cannot be logarithms (log1p): the largest is {largest:.4g}; pass log1p=False.")


def _linear(values: np.ndarray, base: float | None) -> np.ndarray:
    values = values.astype(np.float64)
    # What is not a logarithm is to stay finite.
    return values if base is None else np.expm1(np.minimum(values * np.log(base), 100.0))


def source_of(adata: AnnData, params: Mapping[str, Any]) -> Source:
    """Return the matrix that a fit with these parameters has read."""
    return Source(adata, params.get("layer"), bool(params["use_raw"]))


def check_normalize(scale: Scale, normalize: bool, source: Source) -> None:
    """Refuse counts that nobody has said to normalise, and other values that were said to be counts."""
    if scale.kind == "counts" and not normalize:
        raise ValueError(
            f"{source} holds counts, and this model is trained on log-normalised values: pass normalize=True, "
            "or call sc.pp.normalize_total(adata) and sc.pp.log1p(adata) first."
        )
    if scale.kind != "counts" and normalize:
        raise ValueError(f"normalize=True is for counts, and {source} holds other values; leave it out.")


def take_log(values: sparse.csr_matrix, kind: str, totals: np.ndarray, target_sum: float | None) -> None:
    """Put values on the logarithmic scale, in place: counts are divided by the totals of cells over `target_sum`."""
    if kind == "log1p":
        return
    if kind == "counts" and target_sum is not None:
        factor = (target_sum / np.where(totals > 0, totals, 1.0)).astype(np.float32)
        values.data *= np.repeat(factor, np.diff(values.indptr))
    np.log1p(values.data, out=values.data)
