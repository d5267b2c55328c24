"""Knockdown by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core import keys
from .._core.cells import unwrap
from .._core.knockouts import is_sccvae, knockout_sets, open_perturber, open_task, perturbed_sets
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator, seed_of
from .knockouts._assemblage_doses import assemblage_doses
from .knockouts._dose_curves import checked_doses, responders_of, table_of
from .knockouts._perturb_doses import perturb_doses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._core.groups import Groups
    from .._core.names import Knockouts
    from .._rng import RNG
    from .knockouts._dose_curves import Curve


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
        The dose is the share of cells that lose the gene altogether, while the others escape; a cell that loses it at
        one dose does so at every higher one. By default every cell loses that part of the gene or, with
        ``model="sccvae"``, is shifted by that part.
    extrapolate
        Allow doses outside 0 to 1, with ``model="sccvae"`` and graded doses.
    threshold
        Change of log expression above which ``n_changed`` counts a gene.
    n_responders
        Genes per knockout whose changes are kept.
    groups
        Cells, as in :func:`dko.tl.virtual_ko`.
    %(fit)s
    device
        Where to compute.
    rng
        Seed or generator of the draw from the posterior of each cell (``model="sccvae"``), and of who escapes.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_dose_response"]``, in place of an earlier one, with

    ``table``
        DataFrame, a row per ``knockout`` and ``dose``: ``impact_mean``, ``impact_q25``, ``impact_median`` and
        ``impact_q75`` over the cells (Bray-Curtis dissimilarity, as :func:`dko.tl.virtual_ko` has it at this dose);
        ``downstream_mean``, the mean of the same without the knocked-out genes;
        ``distance``, the length of the mean change of all genes but those that are knocked out; ``n_changed``, how many
        of these change by more than `threshold` on average; ``n_cells``; with ``model="sccvae"`` also ``latent``, the
        length of the shift after the graph, which is linear in the dose (with `mixture` the mean over cells).
    ``responders``
        DataFrame, a row per ``knockout``, ``gene`` and ``dose`` with the mean ``change``: the genes that change most
        at the dose furthest from 0, most first.
    ``params``
        What was asked for.

    Changes are of log1p(1e4 * profile) after taking the knocked-out genes out, over the cells that express any of them;
    with ``model="sccvae"`` of log-normalised expression, over the control cells.
    :func:`dko.get.dose_response` reads it, :func:`dko.pl.dose_response` draws it.

    Raises
    ------
    KeyError
        No fit; a gene that is not in the fit, or has no features.
    ValueError
        A dose outside 0 to 1 without, or where there is no, `extrapolate`; no cell that has the gene.
    """
    data = writable(adata, copy, mod)
    target, sccvae = unwrap(data, mod), is_sccvae(data, key, mod)
    wanted = checked_doses(doses, extrapolate=extrapolate and sccvae and not mixture)
    if n_responders < 1:
        raise ValueError(f"n_responders={n_responders} must be at least 1.")
    curves, names = (_sccvae if sccvae else _assemblage)(
        data, genes, doses=wanted, mixture=mixture, groups=groups, key=key, mod=mod, device=device, rng=rng
    )
    content = {
        keys.PARAMS: {
            "model": keys.SCCVAE if sccvae else keys.DKO,
            "knockouts": list(curves),
            "doses": wanted,
            "mixture": mixture,
            "threshold": threshold,
        },
        keys.TABLE: table_of(curves, wanted, threshold),
        keys.RESPONDERS: responders_of(curves, wanted, names, n_responders),
    }
    write(target, uns={keys.dose_response(key): content})
    return data if copy else None


def _sccvae(
    data: AnnData | MuData,
    genes: Knockouts,
    *,
    doses: np.ndarray,
    mixture: bool,
    groups: Groups,
    key: str,
    mod: str,
    device: str,
    rng: RNG,
) -> tuple[dict[str, Curve], list[str]]:
    perturber = open_perturber(data, key, mod, groups=groups, device=device)
    # One number, as a generator would go on from dose to dose.
    seed = seed_of(rng)
    sets = perturbed_sets(genes, perturber)
    return perturb_doses(perturber, sets, doses, mixture=mixture, seed=seed), perturber.fitted.genes


def _assemblage(
    data: AnnData | MuData,
    genes: Knockouts,
    *,
    doses: np.ndarray,
    mixture: bool,
    groups: Groups,
    key: str,
    mod: str,
    device: str,
    rng: RNG,
) -> tuple[dict[str, Curve], list[str]]:
    task = open_task(data, key, mod, groups)
    sets = knockout_sets(genes, task.fitted.genes, task.adata)
    found = assemblage_doses(task, sets, doses, mixture=mixture, rng=generator(rng), device=device)
    return found, task.fitted.genes
