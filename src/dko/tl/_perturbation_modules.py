"""Perturbations that do the same kind of thing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.knockouts import open_model
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ._module_effects import effects_of, widespread
from ._modules import Plan, in_order, known_groups, modules_of

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import RNG, AnnData, Knockouts, Mapping, MuData

_BASES = ("latent", "effect")


@verb
def perturbation_modules(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    basis: str | None = None,
    resolution: float = 1.0,
    groups: Mapping[str, str] | pd.Series | None = None,
    alpha: float = 0.05,
    n_null: int = 500,
    n_markers: int = 10,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    rng: RNG = 0,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Group perturbations by the kind of their effect, whatever its strength, and set apart those that have none.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`, of either model.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`. Of an SCCVAE also ones that were not measured; default: all that it
        was trained on. Otherwise by default the 500 genes in most cells, without those that have no effect.
    basis
        ``"latent"``, of an SCCVAE and its default: the shift of the latent state after the graph. ``"effect"``: the
        predicted mean change of all genes but the targets, in its principal directions: in at most 1,000 control cells
        or, of the first model, that of :func:`dko.get.effects` with ``centred=True``.
    resolution
        The higher, the more modules.
    groups
        What is known of perturbations, ``{perturbation: group}`` or a Series, to compare the modules with.
    alpha
        Perturbations with a larger ``p_effect`` have no effect.
    n_null
        Random groups of control cells that effects are compared with (SCCVAE).
    n_markers
        Genes that are named per module.
    %(fit)s
    %(compute)s
    %(rng)s
    %(written)s

    ``uns[f"{key}_modules"]``
        ``params`` and what follows; :func:`dko.get.modules` reads it, :func:`dko.pl.modules` draws it.
    ``table``
        DataFrame, a row per ``perturbation``: ``module`` (``"1"`` is the largest; ``"no effect"``), ``strength``
        (length in the basis), ``p_effect``, ``is_unseen`` (not trained on), ``n_cells`` (at the time of the fit, test
        cells too, 0 if unseen; of the first model the cells that express the gene), ``silhouette`` (by cosine; NaN
        without effect), ``umap_1``, ``umap_2`` and, with `groups`, ``group`` (``""`` if not known).
    ``markers``
        DataFrame: ``module``, ``gene``, mean predicted ``change`` in the module and in the ``others``, most different
        first, without the targets themselves.
    ``agreement``
        With `groups`, of perturbations that have an effect and a group, ``over`` ``"all"`` and, of an SCCVAE, over the
        ``"trained"`` ones, beside the ``"measured"`` mean changes of the same: ``ari`` and ``nmi`` (adjusted Rand
        index, normalised mutual information); ``neighbours``, ``neighbours_expected`` and ``neighbours_p`` of
        :func:`dko.metrics.neighbour_agreement`.
    ``vectors``
        float32, perturbations x dimensions of the basis.

    %(errors)s
        fewer than 2 perturbations; fewer than two known groups; a gene without cells.
    ImportError
        Leiden is not installed, and there are 15 perturbations or more.

    Notes
    -----
    Vectors are compared by their cosine: the graph of nearest neighbours and Leiden, or average linkage below 15
    perturbations with an effect. Modules and their numbers do not depend on the order of perturbations.

    Of an SCCVAE, ``p_effect`` is of the cells that it was trained on: is their mean as far from that of the control
    cells (in 30 principal components of these, without the targets) as that of as many random control cells? Whatever
    else sets cells apart, such as a batch, counts as effect. Of an unseen perturbation the predicted change is compared
    with random groups of the median number of cells, in its direction.

    Of the first model it is the false discovery rate ``var[f"{key}_signal"]``; NaN, and so taken for an effect, where
    effects are direct ones. Mean effects are over the cells that express the gene: genes of one cell type tend to share
    a module.
    """
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, device=device)
    plan = Plan(basis or "effect", resolution, alpha, n_null, n_markers)
    _check(plan)
    sets = cells.sets(genes) if genes is not None else cells.trained or widespread(cells, alpha)
    if len(sets) < 2:
        raise ValueError(f"Modules are of several knockouts, got {len(sets)}; name at least two that have cells.")
    has_latent = cells.model.latent(cells.numbers(list(sets.values())[:1])) is not None
    if basis == "latent" and not has_latent:
        raise ValueError("basis='latent' is for a fit with model='sccvae'; this model has no latent space.")
    plan = plan._replace(basis=basis or ("latent" if has_latent else "effect"))
    known = known_groups(groups, sorted(sets), set(cells.model.targets))
    seed = int(generator(rng).integers(2**31))
    found = in_order(modules_of(effects_of(cells, sets, plan, seed), known, plan, seed), list(sets))
    write(unwrap(data, mod), uns={keys.modules(key): {keys.PARAMS: plan._asdict(), **found}})
    return data if copy else None


def _check(plan: Plan) -> None:
    if plan.basis not in _BASES:
        raise ValueError(f"basis={plan.basis!r} must be 'latent' or 'effect'.")
    if plan.n_null < 1 / plan.alpha - 1:
        raise ValueError(
            f"n_null={plan.n_null} is too few to tell anything at alpha={plan.alpha}; "
            f"take at least {math.ceil(1 / plan.alpha - 1)}."
        )
