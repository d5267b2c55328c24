"""Knockdown by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.knockouts import open_model, require_cells
from .._core.messages import listed, many, say
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

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.dose_response(adata, "CD74", doses=[0, 0.5, 1])
    >>> dko.get.dose_response(adata)["impact_mean"].round(2).tolist()
    [0.0, 0.06, 0.12]
    """
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, groups, device=device)
    wanted = _checked(doses, cells.model.doses if extrapolate and not mixture else (0.0, 1.0))
    sets = cells.sets(genes)
    impacts, totals = _sums(cells, sets, wanted, {"mixture": mixture, "rng": rng, "description": "dose_response"})
    numbers = cells.numbers(list(sets.values()))
    latent = cells.model.latent(numbers)
    tables, responders = [], []
    for number, label in enumerate(sets):
        impact, downstream = (one[number][:, np.isfinite(one[number][0])] for one in impacts)
        table = {
            "knockout": label,
            "dose": wanted,
            "impact_mean": impact.mean(axis=1, dtype=float),
            **dict(zip(_QUARTILES, np.quantile(impact, list(_QUARTILES.values()), axis=1), strict=True)),
            "downstream_mean": downstream.mean(axis=1, dtype=float),
        }
        change = pd.DataFrame(totals[number] / impact.shape[1], wanted, cells.model.genes)
        change = change.drop(columns=change.columns[cells.model.columns(numbers[number])])
        table |= {
            "distance": np.linalg.norm(change, axis=1),
            "n_changed": (change.abs() > threshold).sum(axis=1).to_numpy(),
            "n_cells": impact.shape[1],
            **({} if latent is None else {"latent": np.linalg.norm(latent[number]) * np.abs(wanted)}),
        }
        tables.append(pd.DataFrame(table))
        furthest = change.iloc[0 if -wanted[0] > wanted[-1] else -1].abs()
        top = change[furthest.sort_values(ascending=False, kind="stable").index[:n_responders]]
        long = top.rename_axis(index="dose", columns="gene").unstack().rename("change").reset_index()
        responders.append(long.assign(knockout=label)[["knockout", "gene", "dose", "change"]])
    params = {"model": cells.model.name, "knockouts": list(sets), "doses": wanted}
    content = {
        keys.PARAMS: params | {"mixture": mixture, "threshold": threshold},
        keys.TABLE: pd.concat(tables, ignore_index=True),
        keys.RESPONDERS: pd.concat(responders, ignore_index=True),
    }
    write(cells.adata, uns={keys.dose_response(key): content})
    say(f"Removed {listed(list(sets))} at {many(len(wanted), 'dose')}; see uns[{keys.dose_response(key)!r}].")
    return data if copy else None


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


def _sums(
    cells: Predictor, sets: dict[str, list[str]], doses: np.ndarray, how: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both impacts, 2 x sets x doses x cells, NaN: no prediction, and summed changes, sets x doses x genes."""
    impacts: np.ndarray = np.full((2, len(sets), len(doses), cells.adata.n_obs), np.nan, dtype=np.float32)
    totals = np.zeros((len(sets), len(doses), len(cells.model.genes)))
    columns = [cells.model.columns(genes) for genes in cells.numbers(list(sets.values()))]
    for knockout in cells.predict(list(sets.values()), doses, **how):
        number, place = knockout.number, int(np.searchsorted(doses, knockout.dose))
        impacts[:, number, place, knockout.rows] = knockout.impact, knockout.downstream
        change = cells.model.change(knockout, columns[number])
        totals[number, place] += np.asarray(change.sum(axis=0, dtype=float)).ravel()
    require_cells(cells, sets, np.isfinite(impacts[0, :, 0]).any(axis=1))
    return impacts, totals
