"""Knockdown by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._core import keys
from .._core.knockouts import open_model, require_cells
from .._core.verb import verb
from .._core.write import writable, write

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Groups, Knockouts, MuData, Predictor, Sequence

_QUARTILES = {"impact_q25": 0.25, "impact_median": 0.5, "impact_q75": 0.75}


@verb
def dose_response(
    adata: AnnData | MuData,
    genes: Knockouts,
    *,
    doses: Sequence[float] | None = None,
    mixture: bool = False,
    extrapolate: bool = False,
    threshold: float = 0.1,
    n_responders: int = 10,
    groups: Groups = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    rng: RNG = 0,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Predict what the same cells look like at each of several doses of a knockout.

    The cells, and what is random about them, are the same at all doses: a curve shows the dose and no chance.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, of either model.
    genes
        As in :func:`dko.tl.virtual_ko`.
    doses
        From 0 (nothing is removed) to 1 (knockout); default 0, 0.1 and so on to 1.
    mixture
        The dose is the share of cells that lose the gene altogether, as in :func:`dko.tl.virtual_ko`; a cell that loses
        it at one dose does so at every higher one.
    extrapolate
        Allow doses outside 0 to 1, with ``model="sccvae"`` and graded doses.
    threshold
        Change of log expression above which ``n_changed`` counts a gene.
    n_responders
        Genes per knockout whose changes are kept.
    %(groups)s
    %(fit)s
    %(compute)s
    %(rng)s
    %(written)s

    ``uns[f"{key}_dose_response"]``
        ``params`` and the tables below; :func:`dko.get.dose_response` reads it, :func:`dko.pl.dose_response` draws it.
        Changes are of log1p(1e4 * profile) after taking the knocked-out genes out, over the cells that express any of
        them; of an SCCVAE of log-normalised expression, over the control cells.
    ``table``
        DataFrame, a row per ``knockout`` and ``dose``: ``impact_mean``, ``impact_q25``, ``impact_median`` and
        ``impact_q75`` over the cells, and ``downstream_mean``, as of :func:`dko.tl.virtual_ko` at this dose;
        ``distance``, the length of the mean change of all genes but those that are knocked out; ``n_changed``, how many
        of these change by more than `threshold` on average; ``n_cells``; of an SCCVAE also ``latent``, the length of
        the shift after the graph, which is linear in the dose (with `mixture` the mean over cells).
    ``responders``
        DataFrame, a row per ``knockout``, ``gene`` and ``dose`` with the mean ``change``: the genes that change most at
        the dose furthest from 0, most first.

    %(errors)s
        a dose outside 0 to 1 without, or where there is no, `extrapolate`; no cell that has the gene.
    """
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, groups, device=device)
    wanted = _checked(doses, cells.model.doses if extrapolate and not mixture else (0.0, 1.0))
    sets = cells.sets(genes)
    curves = _curves(cells, sets, wanted, mixture=mixture, rng=rng)
    content = {
        keys.PARAMS: {
            "model": cells.model.name,
            "knockouts": list(curves),
            "doses": wanted,
            "mixture": mixture,
            "threshold": threshold,
        },
        keys.TABLE: _table(curves, wanted, threshold),
        keys.RESPONDERS: _responders(curves, wanted, cells.model.genes, n_responders),
    }
    write(cells.adata, uns={keys.dose_response(key): content})
    return data if copy else None


class _Curve(NamedTuple):
    """One knockout at each dose."""

    # impact, downstream: per cell, cells x doses
    impact: np.ndarray
    downstream: np.ndarray
    # Mean change of log expression over the cells, doses x genes; NaN at the genes that are knocked out
    change: np.ndarray
    latent: float | None  # length of the shift in the latent space at dose 1, of a model that has one


def _checked(doses: Sequence[float] | np.ndarray | None, allowed: tuple[float, float]) -> np.ndarray:
    """Return doses in ascending order, each once; by default 0, 0.1 and so on to 1."""
    if doses is None:
        return np.linspace(0.0, 1.0, 11).round(1)
    found = np.unique(np.asarray(doses, dtype=float))
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"doses={doses!r} must hold at least one number, and neither NaN nor infinity.")
    if len(outside := found[(found < allowed[0]) | (found > allowed[1])]):
        raise ValueError(
            f"The dose {outside[0]:g} is outside 0 (no knockout) to 1 (complete); with model='sccvae' and graded "
            "doses, extrapolate=True allows it, and what is predicted there was never seen in training."
        )
    return found


def _curves(
    cells: Predictor, sets: dict[str, list[str]], doses: np.ndarray, *, mixture: bool, rng: RNG
) -> dict[str, _Curve]:
    """Return the curve of each knockout over the cells that are predicted."""
    numbers = cells.numbers(list(sets.values()))
    columns = [cells.model.columns(genes) for genes in numbers]
    impacts: list[list[list[np.ndarray]]] = [[[] for _ in doses] for _ in sets]
    totals = np.zeros((len(sets), len(doses), len(cells.model.genes)))
    how: dict[str, Any] = {"mixture": mixture, "rng": rng, "description": "dose_response"}
    for knockout in cells.predict(list(sets.values()), doses, **how):
        number, place = knockout.number, int(np.searchsorted(doses, knockout.dose))
        impacts[number][place].append(np.stack([knockout.impact, knockout.downstream]))
        change = cells.model.change(knockout, columns[number])
        totals[number, place] += np.asarray(change.sum(axis=0, dtype=float)).ravel()
    require_cells(cells, sets, [bool(of_set[0]) for of_set in impacts])
    latent, curves = cells.model.latent(numbers), {}
    for number, label in enumerate(sets):
        impact, downstream = np.stack([np.concatenate(of_dose, axis=1) for of_dose in impacts[number]], axis=2)
        totals[number][:, columns[number]] = np.nan
        length = None if latent is None else float(np.linalg.norm(latent[number]))
        curves[label] = _Curve(impact, downstream, totals[number] / len(impact), length)
    return curves


def _table(curves: dict[str, _Curve], doses: np.ndarray, threshold: float) -> pd.DataFrame:
    """Return a row per knockout and dose."""
    parts = []
    for label, curve in curves.items():
        quartiles = np.quantile(curve.impact, list(_QUARTILES.values()), axis=0)
        part = {
            "knockout": label,
            "dose": doses,
            "impact_mean": curve.impact.mean(axis=0, dtype=float),
            **dict(zip(_QUARTILES, quartiles, strict=True)),
            "downstream_mean": curve.downstream.mean(axis=0, dtype=float),
            "distance": np.sqrt(np.nansum(curve.change**2, axis=1)),
            "n_changed": (np.abs(np.nan_to_num(curve.change)) > threshold).sum(axis=1),
            "n_cells": len(curve.impact),
        }
        if curve.latent is not None:
            part["latent"] = curve.latent * np.abs(doses)
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _responders(curves: dict[str, _Curve], doses: np.ndarray, genes: Sequence[str], n_genes: int) -> pd.DataFrame:
    """Return the genes that change most at the dose furthest from 0, most first: their mean change at each dose."""
    parts, furthest = [], 0 if -doses[0] > doses[-1] else -1
    for label, curve in curves.items():
        size = np.abs(curve.change[furthest])
        order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")
        top = [column for column in order[:n_genes] if np.isfinite(size[column])]
        part = {
            "knockout": label,
            "gene": np.repeat(np.asarray(genes, dtype=object)[top], len(doses)),
            "dose": np.tile(doses, len(top)),
            "change": curve.change[:, top].T.ravel(),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
