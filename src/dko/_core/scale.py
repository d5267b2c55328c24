"""On which scale the values of a matrix are: the one place that decides, for both models and on every read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from scipy import sparse

from .cells import Source, sample_rows
from .evidence import are_counts, elsewhere, found_in, sums_vary_less
from .messages import logger, say

if TYPE_CHECKING:
    from .._typing import AnnData, Fitted


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
    trust: str = CERTAIN  # ``"certain"``, ``"doubtful"``, or ``"said"`` by the user against what the values look like

    @property
    def name(self) -> str:
        """Its name in messages."""
        if self.base is None:
            return {"counts": "counts"}.get(self.kind, "normalised values, not logarithms")
        return "log1p" if self.base == math.e else f"log1p of base {self.base:g}"

    def same(self, other: Scale) -> bool:
        """Whether both are the same."""
        return (self.kind, self.base) == (other.kind, other.base)

    def to_linear(self, values: sparse.csr_matrix) -> None:
        """Put values on a linear scale, in place."""
        if self.base is None:
            return
        largest = _largest(values)
        if largest > _LARGEST_LOG1P:
            raise ValueError(f"These cannot be logarithms (log1p): the largest is {largest:.4g}; pass log1p=False.")
        values.data = np.expm1(values.data.astype(np.float64) * np.log(self.base)).astype(np.float32)

    @property
    def params(self) -> dict[str, Any]:
        """What a fit keeps of it."""
        found = {"values": self.kind, "log_base": self.base, "scale": self.trust}
        return {name: value for name, value in found.items() if value is not None}


def scale_of(source: Source, log1p: bool | None, values: sparse.csr_matrix | None = None) -> Scale:
    """Decide on which scale a matrix is: by the counts behind its values, then their sums, other layers and marks.

    `log1p` is what the user says; `values` the matrix, if read already. ValueError: impossible, or cells that differ.
    """
    mark = _mark(source.adata)
    some = _sample(source) if values is None else values[sample_rows(values.shape[0])]
    largest = _largest(some if values is None else values)
    if are_counts(some) and (values is None or are_counts(values)):
        if log1p and len(some.data):
            raise ValueError(f"log1p=True, but {source} holds whole numbers, which are counts; leave log1p out.")
        return Scale("counts", None, "they are whole numbers")
    if log1p and largest > _LARGEST_LOG1P:
        raise ValueError(f"These cannot be logarithms (log1p): the largest is {largest:.4g}; pass log1p=False.")
    found = found_in(some, source, mark, mixed=log1p is not None)
    if largest > _LARGEST_LOG1P:
        return Scale("linear", None, f"the largest is {largest:.4g}, and no logarithm is as large")
    scale = None if found is None else Scale(*found)
    return (scale or _doubtful(some, largest, mark)) if log1p is None else _said(scale, log1p, mark, str(source))


def tell(scale: Scale, source: Source, what: str, otherwise: str, *, counts: bool = False) -> None:
    """Say what values were taken for, and why; warn where that is not certain; name others that hold `counts`."""
    wanted = scale.trust == DOUBTFUL or (counts and scale.kind != "counts")
    beside = elsewhere(source, counts=True) if wanted else None
    better = f" {beside} holds counts: {beside.keyword} uses them." if beside else ""
    message = f"Values of {source}: taken as {what}"
    if scale.trust == DOUBTFUL:
        logger.warning("%s, which is not certain: %s. %s.%s", message, scale.reason, otherwise, better)
    else:
        say(f"{message}{'' if scale.kind == 'counts' else f': {scale.reason}'}.{better}")


def scale_now(adata: AnnData, params: Mapping[str, Any]) -> Scale:
    """Decide on which scale the matrix of a fit is now, and say once if it has changed; ValueError: not certain."""
    source, known = source_of(adata, params), _of_params(params)
    found = scale_of(source, None)
    if known.kind == found.kind and (known.same(found) or "log_base" not in params):
        return Scale(known.kind, known.base or found.base, found.reason, found.trust)
    if known.trust == SAID and found.kind != "counts":
        return known
    if found.trust == CERTAIN:
        message = f"{source} holds {found.name} now, and held {known.name} at the fit; the values are converted."
        _say_once(adata, message)
        return found
    if known.kind != "counts" and known.trust != CERTAIN:
        return known
    if known.kind == "counts" and found.base is not None and _mark(adata) is not None:
        _say_once(
            adata, f"{source} held counts at the fit; now taken as {found.name}, but {found.reason}.", logger.warning
        )
        return found
    raise ValueError(
        f"{source} held {known.name} at the fit, and what it holds now is not certain, perhaps {found.name}: "
        f"{found.reason}. Put back what the fit has read, or fit again on a layer that keeps it, layer=..."
    )


def _of_params(params: Mapping[str, Any]) -> Scale:
    """Return what a fit has read; versions before 0.2 kept no more than the kind, and a base of the first model."""
    kind = params["values"]
    base = float(params.get("log_base", math.e)) if kind == "log1p" else None
    return Scale(kind, base, "as at the fit", "certain" if kind == "counts" else params.get("scale", DOUBTFUL))


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


def _said(found: Scale | None, log1p: bool, mark: float | None, where: str) -> Scale:
    """Follow the user, and contradict where the values do."""
    base = found.base if found is not None and found.base is not None else mark or float(math.e)
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
    """Decide where the values leave it open: by the mark, if the range allows it, or by the sums."""
    if mark is not None and largest * np.log(mark) <= _USUAL_LOG1P:
        return Scale("log1p", mark, "uns['log1p'] is the only sign of it", DOUBTFUL)
    if mark is not None:
        reason = f"uns['log1p'] is set, but no logarithm of expression is as large as {largest:.4g}"
        return Scale("linear", None, reason, DOUBTFUL)
    reason = "they are not counts times one factor per cell, nor are their exponentials, and uns['log1p'] is not set"
    if sums_vary_less(values, math.e):
        return Scale("log1p", float(math.e), f"{reason}, but the exponentials have more even sums", DOUBTFUL)
    return Scale("linear", None, reason, DOUBTFUL)


_TOLD: WeakValueDictionary[tuple[int, str], AnnData] = WeakValueDictionary()


def _say_once(adata: AnnData, message: str, how: Any = say) -> None:
    if _TOLD.get((id(adata), message)) is not adata:
        _TOLD[id(adata), message] = adata
        how(message)


@dataclass(frozen=True)
class Expression:
    """Expression as it was read."""

    values: sparse.csr_matrix  # CSR float32, cells x genes
    genes: list[str]  # names of the columns, all of them in ``var_names``
    scale: Scale  # what the source held


def read_expression(source: Source, log1p: bool | None, *, linear: bool = True) -> Expression:
    """Read expression and say what the values were taken for; logarithms are turned back if it is to be `linear`."""
    genes = source.genes
    if source.use_raw and len(genes) < len(source.names):
        say(f"Of the {len(source.names)} genes of raw, {len(genes)} are in var_names and can be taken.")
    values = source.read(genes)
    scale = scale_of(source, log1p, values)
    if linear:
        scale.to_linear(values)
    tell(scale, source, *(_LINEAR if linear else _LOGGED)[scale.kind], counts=linear)
    return Expression(values, genes, scale)


def source_of(adata: AnnData, params: Mapping[str, Any]) -> Source:
    """Return the matrix that a fit with these parameters has read."""
    return Source(adata, params.get("layer"), bool(params["use_raw"]))


_LINEAR = {
    "counts": ("counts", ""),
    "linear": ("normalised values, not logarithms", "Pass log1p=True if they are logarithms, log1p=False if not"),
    "log1p": ("log1p and turned back", "Pass log1p=False if they are not logarithms, log1p=True if they are"),
}
_LOGGED = {
    "counts": ("counts, normalised to one total and logged", ""),
    "linear": ("normalised values and logged", "Pass log1p=True if they are logarithms, log1p=False if not"),
    "log1p": ("log-normalised", "Pass log1p=False if they are not logarithms, log1p=True if they are"),
}


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


def read_log_values(adata: AnnData, fitted: Fitted, rows: np.ndarray | None = None) -> sparse.csr_matrix:
    """Read the values of cells (`rows`, ascending) as the fit has read them (CSR float32); ValueError: not certain."""
    params = fitted.params
    source, kind = source_of(adata, params), params["values"]
    counted = kind == "counts"
    names = source.genes if counted else fitted.genes
    rows = np.arange(adata.n_obs) if rows is None else rows
    parts = []
    for first, block in source.blocks(names):
        start, stop = np.searchsorted(rows, [first, first + block.shape[0]])
        parts.append(block if stop - start == block.shape[0] else block[rows[start:stop] - first])
    values = sparse.csr_matrix(parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr"))
    if not counted and values.nnz and are_counts(values):
        raise ValueError(
            f"The fit has read normalised values, and {source} holds counts now; fit on a layer that keeps them."
        )
    now = scale_now(adata, params)
    base = float(params.get("log_base", now.base or math.e)) if kind == "log1p" else None
    if now.base is not None and now.base == base:
        return values
    now.to_linear(values)
    totals = np.asarray(values.sum(axis=1)).ravel()
    if counted:
        _compare_totals(len(names), params)
        position = {name: column for column, name in enumerate(names)}
        values = values[:, [position[gene] for gene in fitted.genes]]
    take_log(values, "counts" if counted else "linear", totals, params.get("target_sum"))
    values.data /= np.float32(1.0 if base is None else np.log(base))
    return values


def _compare_totals(n_genes: int, params: dict[str, Any]) -> None:
    """Warn where cells have other genes than those of the fit, over which counts were summed."""
    known = params.get("n_summed", n_genes)
    if n_genes != known:
        logger.warning(
            "The fit divided counts by their sum over %d genes, and here there are %d, so that values are on another "
            "scale than those it was trained on; keep all genes of the fit, or fit on normalised values.",
            known,
            n_genes,
        )
