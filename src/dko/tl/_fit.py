"""Fitting a model to the cells of an AnnData."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import check_key
from .._core.messages import listed, require_known
from .._core.names import control_of
from .._core.verb import check_values, unknown_keywords, verb
from .._core.write import writable
from .fitting._fit_assemblage import fit_assemblage
from .fitting._fit_sccvae import fit_sccvae
from .fitting._sccvae_config import keywords

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from .._rng import RNG
    from .fitting._prior import PriorKnowledge


@verb
def fit(
    adata: AnnData | MuData,
    *,
    model: str = "dko",
    preset: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    genes: str | Sequence[str] | None = None,
    n_top_genes: int | None = None,
    groupby: str | None = None,
    covariates: Sequence[str] | None = None,
    perturbation_key: str | None = None,
    control: str | float | bool | None = None,
    mod: str = "rna",
    init_from: str | Path | None = None,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    patience: int | None = None,
    rank: int | None = None,
    effects: str = "auto",
    prior: PriorKnowledge | None = None,
    device: str = "auto",
    progress: bool = True,
    rng: RNG = 0,
    key_added: str = keys.DEFAULT,
    copy: bool = False,
    **model_kwargs: Any,
) -> AnnData | MuData | None:
    """Learn what cells look like without a gene: from unperturbed cells alone, or from measured perturbations.

    ``model="dko"`` learns how the genes that are present in a cell determine its expression profile.
    ``model="sccvae"`` learns, from cells of some perturbations and control cells, what any perturbation does.

    Parameters
    ----------
    adata
        Cells: counts, normalised or log1p-normalised values (dense, CSR, CSC, backed or dask). ``"sccvae"`` takes
        log-normalised values, and counts only with ``normalize=True``.
    model
        ``"dko"``, the assemblage model (arXiv 2510.03359), or ``"sccvae"``, a causal variational autoencoder of
        Perturb-seq data (bioRxiv 2025.06.05.657988).
    preset
        ``"paper"`` trains as published (5,000 steps of 20 cells, step size 0.01, validation after every step;
        ``"sccvae"``: sizes, loss and steps of its publication; docs, sccvae lists what still differs). None trains
        until the validation loss no longer falls.
    layer, use_raw
        Where the expression is; X by default. Of ``raw``, the genes that are in ``var_names`` are taken.
    log1p
        Whether the values are log1p values, to be turned back (``"sccvae"`` keeps them). None finds out and says how:
        by whether the values, or their exponentials (base e, 2, 10 or that of ``uns["log1p"]``), are whole counts times
        one factor per cell, by sums that are the same in all cells, or by another layer that holds their logarithms.
        Where none of these decides, the mark in ``uns["log1p"]`` decides, with a warning. True or False always wins.
    genes, n_top_genes
        See :func:`dko.pp.select_genes`. Told nothing, all expressed genes, or the 2,000 most variable ones
        (``"sccvae"``: all up to 6,000, or the 5,000 most variable ones, and always the perturbed ones).
    groupby
        ``obs`` column: one model per group, as the paper fits one per cell type. Cells without a value, and groups of
        fewer than 5 cells, get no model.
    covariates
        Not used yet.
    perturbation_key, control
        ``obs`` column and its value for unperturbed cells, if there are perturbed ones: with ``"dko"`` only unperturbed
        cells train. ``"sccvae"`` needs both; perturbations are named by the gene, or by several joined by ``+``.
    mod
        Modality of a MuData that holds the genes.
    init_from
        Key of another fit in ``uns``, or a file of :func:`dko.io.save`, whose weights training starts from.
    max_epochs, max_steps
        Passes over the training cells, or steps, after which training ends.
    batch_size, learning_rate
        Cells per step; step size of Adam.
    validation_fraction
        Fraction of the cells (of each perturbation; without the test cells) that choose the best weights; of several
        members, each has others.
    test_fraction
        Fraction of the cells (of each perturbation) that is kept out of the fit altogether, for :func:`dko.pl.fit`
        and :func:`dko.tl.evaluate`.
    patience
        Validations without a better loss after which the step size is cut or, once that has been done twice
        (``preset="paper"``: never), training ends.
    rank
        Keep the gene x gene influence as the product of two matrices with so many columns and rows: the way to fit
        20,000 genes, where 64 takes 10 MB and the full matrix 1.6 GB. None keeps the full matrix.
    effects
        What a knockout does to other genes. ``"direct"``: what the assemblage model says with all other genes as they
        are, as published. ``"total"``: on all paths, estimated from how genes are co-expressed over the cells, by
        regressions of the share of every gene on the level of every other, shrunken and penalised (docs, design); the
        sizes are those of correlation, an upper bound of what is causal. ``"auto"`` takes the direct ones where the
        assemblages of the validation cells explain at least half of the variance of the levels of genes, as in
        simulations without noise, and otherwise, as in all real cells so far, the total ones, which agree better with
        measured knockouts (docs, accuracy). ``preset="paper"`` and `rank` have direct ones. With a `prior`,
        always total ones.
    prior
        What is known of some genes beside the cells; knockouts of all other genes are as without it.

        A network
            DataFrame of known regulation with the columns ``source``, ``target`` and ``weight``, as decoupler has it
            (CollecTRI, DoRothEA), or ``tf``, ``target``, ``mor`` and, if there is one, ``confidence`` (A to E, by which
            weights are divided by 1 to 5). A positive weight activates: the target falls when the source is lost. Of
            the weights of a source only the ratios count. Its targets and what these do in turn, as the cells show it,
            each add to its effects 0.3 times their size, and less where cells lack the gene at random.
        Measured effects
            AnnData or DataFrame, perturbed genes x genes: log fold changes (natural ones) of another cell type or
            laboratory, NaN where not measured. Effects are the mean of these and of those that the cells give.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    progress
        Show a bar with loss and time left. Ctrl-C keeps the best weights so far; of several members, those that
        were trained to the end.
    rng
        Seed or generator: decides the split, the initial weights and the order of the cells.
    key_added
        Where results go.
    %(copy)s
    **model_kwargs
        Of ``model="sccvae"``.

        ``normalize``
            Counts are divided by the sum over the genes of their cell, multiplied by the median sum of the control
            cells that are no test cells, and logged.
        ``holdout``
            Perturbations whose cells are kept out of the fit altogether, to be predicted.
        ``test_controls``
            Share of the control cells (0) that is kept out too. Effects of perturbations that were kept out are then
            measured against these by :func:`dko.tl.evaluate`: chance in the mean of control cells that were trained on
            is in all training effects as well, and would count as predicted.
        ``min_cells``
            Perturbations of fewer cells (20, at least 2) are left out, in one message that names them.
        ``features``
            What is known of a gene that is perturbed: ``"influence"``, what the first model has it do to all genes, or
            ``"pca"``, its co-expression, both from control cells (``n_components``, 20); ``"onehot"``, nothing,
            also for genes that are not measured; or a DataFrame with genes in its index and numbers in its columns.
            Default: ``"influence"``; of ``preset="paper"``, ``"pca"``.
        ``graph``
            Which latent dimension may act on which: ``"full"``, ``"none"``, or a network between genes (square
            DataFrame, networkx DiGraph), whose cycles are broken. Edges are no gene regulation: only with a named
            network does a dimension belong to a gene.
        ``code``
            How a gene becomes a shift: ``"neighbours"``, by the shifts of similar perturbed genes and by how control
            cells that express less of it differ; ``"softmax"`` (as published), by a network on features.
        ``n_members``
            Models to fit, each with random numbers and validation cells of its own, whose predicted changes are
            averaged (3; ``preset="paper"``: 1). Each takes as long as one alone; what they say of unseen perturbations
            differs by chance, which the mean has less of (docs, accuracy).
        ``n_latent``, ``hidden``, ``kl``, ``mmd`` and others
            See docs, sccvae.

    Returns
    -------
    None, or the changed copy. Knockouts made with an earlier model under this key are removed. Sets

    ``uns[key_added]``
        ``params`` (dict), ``genes`` (list), ``groups`` (list), ``weights`` (``influence``, groups x genes x genes, and
        ``intercept``, groups x genes, float32; with `rank`, instead of the influence, its factors ``outgoing``, groups
        x genes x rank, and ``incoming``, groups x rank x genes; with total effects also ``total_influence``,
        what the loss of each gene takes off the log share of every other, ``total_correlation``, float16, and
        ``total_step``, by which genes that are lost together share their effects), ``history`` (DataFrame).
        With `groupby`, ``cells``, by which later calls notice that groups are no longer those of the fit (a hash of the
        name of each cell, and the number of its group). Among the parameters: ``effects``, direct or total;
        ``explained``, the share of the variance of levels that assemblages explain; ``similarity``, mean rank
        correlation of the sizes of effects of different knockouts, of 50 common genes: near 1, the model says the same
        of every gene. With a prior also ``prior``, what it is; ``prior_weight``; ``prior_genes`` and
        ``prior_effects``, how many genes of the fit it concerns, and how many of their effects; ``prior_agreement``,
        the share of these that the cells alone give the same sign, one half by chance.
        Of ``"sccvae"`` also ``targets`` (list of all genes that can be perturbed) and ``perturbations`` (DataFrame:
        ``perturbation``, ``n_cells``, ``role``: trained, held out or dropped, ``strength``: length of its shift);
        no groups, and the weights are those of its networks, members along the first axis of what they differ in;
        ``history`` has a column ``member`` where there are several.
    ``var[f"{key_added}_signal"]``
        With total effects: false discovery rate of the downstream impact of each gene, in any group, float32; above
        0.05 there is no evidence that other genes depend on it, and its effects may be noise.
    ``obs[f"{key_added}_split"]``
        train, validation, test or unused (category); of several members, what they are for the first. Others
        validate on cells that train it.
    ``obs[f"{key_added}_fit_error"]``
        Bray-Curtis dissimilarity of predicted and observed profile (float32), NaN without a model; not of
        ``"sccvae"``.

    Raises
    ------
    ValueError
        A prior that has no entry for the genes of the fit, lacks a column, or has an entry twice or without a finite
        number; negative, NaN or infinite values; a cell without any expression; too few cells; a gene nobody
        expresses; with ``"sccvae"``, counts, or fewer than 2 perturbations to train on.
    KeyError
        A gene, layer, column or control value that is not there.
    """
    common: dict[str, Any] = {
        "preset": preset,
        "layer": layer,
        "use_raw": use_raw,
        "log1p": log1p,
        "genes": genes,
        "n_top_genes": n_top_genes,
        "perturbation_key": perturbation_key,
        "control": control,
        "max_epochs": max_epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "patience": patience,
        "device": device,
        "rng": rng,
        "key_added": key_added,
    }
    of_assemblages: dict[str, Any] = {"groupby": groupby, "init_from": init_from, "rank": rank}
    of_assemblages |= {"effects": effects, "prior": prior}
    _check_model(model, covariates, of_assemblages, model_kwargs)
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    check_key(target, key_added)
    common["control"] = _control(target, perturbation_key, control)
    require_known(genes, target)
    if model == keys.DKO:
        fit_assemblage(target, **common, **of_assemblages)
    else:
        fit_sccvae(target, **common, **model_kwargs)
    return data if copy else None


def _control(adata: AnnData, perturbation_key: str | None, control: str | float | bool | None) -> str | None:
    """Return the control as the column spells it; refuse one of the two keywords without the other."""
    if perturbation_key is None:
        if control is not None:
            raise ValueError(f"control={control!r} needs perturbation_key=..., the obs column that holds it.")
        return None
    if control is None:
        raise ValueError(f"perturbation_key={perturbation_key!r} needs control=..., its value for unperturbed cells.")
    return control_of(adata, perturbation_key, control)


def _check_model(
    model: str, covariates: Sequence[str] | None, of_assemblages: dict[str, Any], model_kwargs: dict[str, Any]
) -> None:
    if model not in {keys.DKO, keys.SCCVAE}:
        raise ValueError(f"No model {model!r}; there are {keys.DKO!r} and {keys.SCCVAE!r}.")
    if covariates is not None:
        raise ValueError(
            "covariates=... are used by no model yet; fit one model per group, groupby=..., or the cells of one."
        )
    if model_kwargs:
        _check_keywords(model, model_kwargs)
    given = [
        name for name, value in of_assemblages.items() if value is not None and (name, value) != ("effects", "auto")
    ]
    if model == keys.SCCVAE and given:
        raise TypeError(f"model='sccvae' takes no {listed(given)}; leave them out.")


def _check_keywords(model: str, given: dict[str, Any]) -> None:
    of_all, of_sccvae = list(signature(fit).parameters)[:-1], keywords()
    if wrong := [name for name in given if name not in of_sccvae]:
        known = of_all if model == keys.DKO else [*of_all, *of_sccvae]
        raise TypeError(unknown_keywords("dko.tl.fit", wrong, known))
    if model == keys.DKO:
        raise TypeError(f"model='dko' takes no {listed(given)}; only model='sccvae' does.")
    check_values(given, of_sccvae)
