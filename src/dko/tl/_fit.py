"""Fitting a model to the cells of an AnnData."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import SOURCE, check_key, read_fitted, signal_column, together
from .._core.groups import membership
from .._core.messages import listed, require_known, say
from .._core.names import control_of
from .._core.verb import check_values, unknown_keywords, verb
from .._core.write import writable, write_model
from .._rng import generator
from ..models import REGISTRY, model_class
from ._training_cells import Request, read_cells

if TYPE_CHECKING:
    from .._typing import RNG, Mapping, MuData, Sequence
    from ..models import Model
    from ..models.dko.prior import PriorKnowledge
    from ..models.fitting import Config, Fit, TrainingCells


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
    prior: PriorKnowledge | None = None,
    device: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    progress: bool = True,
    rng: RNG = 0,
    key_added: str = keys.DEFAULT,
    copy: bool = False,
    **model_kwargs: Any,
) -> AnnData | MuData | None:
    """Learn what cells look like without a gene: from unperturbed cells alone, or from measured perturbations.

    Parameters
    ----------
    adata
        Cells: counts, normalised or log1p-normalised values (dense, CSR, CSC, backed or dask). They are read block by
        block, so that there may be more than fit into memory.
    model
        ``"dko"``: how the genes that are present in a cell determine its profile (arXiv 2510.03359), from unperturbed
        cells. ``"sccvae"``: what any perturbation does, from cells of some and control cells (bioRxiv
        2025.06.05.657988). Or one of your own (:func:`dko.models.register`).
    preset
        ``"paper"`` trains as published (docs, design and sccvae); None, until the validation loss no longer falls.
    layer, use_raw
        Where the expression is; X by default. Of ``raw``, the genes that are in ``var_names`` are taken.
    log1p
        Whether the values are log1p values; None finds out and says how (docs, design).
    genes, n_top_genes
        See :func:`dko.pp.select_genes`. Default: all expressed genes, or the 2,000 most variable ones (``"sccvae"``:
        all up to 6,000, or the 5,000 most variable and all perturbed ones).
    groupby
        ``obs`` column: one model per group, as in the paper per cell type; none for cells without a value and groups of
        fewer than 5 cells. Not of ``"sccvae"``.
    covariates
        Not used yet.
    perturbation_key, control
        ``obs`` column and its value for unperturbed cells. With ``"dko"`` only these train; ``"sccvae"`` needs both,
        and perturbations are named by the gene, or by several joined by ``+``.
    mod
        Modality of a MuData that holds the genes.
    init_from
        Key of another fit, or a file of :func:`dko.io.save`, whose weights training starts from. Not of ``"sccvae"``.
    max_epochs, max_steps
        Passes over the training cells, or steps, after which training ends.
    batch_size, learning_rate
        Cells per step; step size of Adam.
    validation_fraction, test_fraction
        Fractions of the cells (of each perturbation): of those without test cells, that choose the best weights; and of
        all, that are kept out of the fit, for :func:`dko.pl.fit` and :func:`dko.tl.evaluate`.
    patience
        Validations without a better loss after which the step size is cut or, in the end, training.
    prior
        What is known of some genes beside the cells, of ``"dko"``; other genes are as without it. Known regulation:
        DataFrame with ``source``, ``target``, ``weight`` (above 0 where the target falls when the source is lost), as
        decoupler has it, or ``tf``, ``target``, ``mor`` and, if there is one, ``confidence`` (A to E, which divides
        weights by 1 to 5); only ratios of the weights of a source count. Or measured effects: AnnData or DataFrame,
        perturbed genes x genes, natural log fold changes of another cell type or laboratory, NaN where not measured.
        What is made of it: docs, design.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    devices, num_nodes, strategy
        Devices that share the cells of every step, on each of some machines: of `device` ``"cuda"``, or processes of
        ``"cpu"``. Results are those of one device but for rounding (docs, design). Of the strategies of Lightning
        Fabric fits take ``"ddp"``, which ``"auto"`` is.
    progress
        Show a bar with loss and time left. Ctrl-C keeps the best weights so far, and members that are complete.
    rng
        Seed or generator: decides the split, the initial weights and the order of the cells.
    key_added
        Where results go.
    %(copy)s
    **model_kwargs
        Options of the model. Of ``"dko"``

        ``rank``
            Rank of the gene x gene influence, kept as two thin matrices: for many genes. Effects are direct ones.
        ``effects``
            What a knockout does to other genes. ``"direct"``: with all other genes as they are, as published.
            ``"total"``: on all paths, from co-expression, an upper bound of what is causal. ``"auto"``: direct where
            assemblages explain at least half of the variance of levels in validation cells, as in simulations without
            noise; otherwise, and with a `prior`, total (docs, accuracy).

        Of ``"sccvae"`` (others, such as ``n_latent``, ``hidden``, ``kl`` and ``mmd``: docs, sccvae)

        ``normalize``
            The values are counts: normalise them to the median sum of the control cells that train, and log them.
        ``holdout``
            Perturbations whose cells are kept out of the fit altogether, to be predicted.
        ``test_controls``
            Share of the control cells (0) that is kept out too, for :func:`dko.tl.evaluate` to measure effects against.
        ``min_cells``
            Perturbations of fewer cells (20, at least 2) are left out, in one message that names them.
        ``features``
            Of a perturbed gene: ``"influence"`` (default), its effects by the first model; ``"pca"``, its co-expression
            (``n_components``, 20); ``"onehot"``, none, also for genes that are not measured; or a DataFrame, genes x
            numbers.
        ``graph``
            Which latent dimension may act on which: ``"full"``, ``"none"``, or a network between genes (square
            DataFrame, networkx DiGraph), whose cycles are broken.
        ``code``
            How a gene becomes a shift: ``"neighbours"``, by similar perturbed genes; ``"softmax"`` (as published), by a
            network.
        ``n_members``
            Models to fit, whose predicted changes are averaged (3; ``preset="paper"``: 1). Each takes as long as one.

    Returns
    -------
    None, or the changed copy. Knockouts made with an earlier model under this key are removed. Sets

    ``uns[key_added]``
        ``params`` (dict), ``genes`` and ``groups`` (lists), ``weights`` (arrays, groups along the first axis),
        ``history`` (DataFrame). Of ``"dko"``, with total effects ``total_influence``, what the loss of each gene
        (column) takes off the log share of every other; in ``params``, ``effects``, direct or total; ``explained``, the
        share of variance that assemblages explain; ``similarity`` of the effects of different knockouts, 1 where all
        are the same; and whether cells agree with the prior. Of ``"sccvae"`` also ``targets``, all genes that can be
        perturbed, and ``perturbations`` (DataFrame: ``perturbation``, ``n_cells``, ``role``, ``strength``).
    ``var[f"{key_added}_signal"]``
        With total effects: false discovery rate of the downstream impact of each gene, in any group, float32; above
        0.05 its effects may be noise.
    ``obs[f"{key_added}_split"]``
        train, validation, test or unused (category); of several members, of the first.
    ``obs[f"{key_added}_fit_error"]``
        Bray-Curtis dissimilarity of predicted and observed profile (float32), NaN without a model. Of ``"dko"``.

    Raises
    ------
    KeyError, TypeError
        A gene, layer, column or control value that is not there; a keyword that the model does not have.
    ValueError
        A prior without values for the genes of the fit; values that are not expression; a cell without any; too few
        cells; options that do not fit together; with ``"sccvae"``, counts.
    OSError
        No room for the scratch file of cells that do not fit into memory.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> adata.obs["dko_split"].value_counts().head(2).tolist()  # cells that train, and that validate
    [560, 140]
    >>> adata.var["dko_signal"].le(0.05)[["CD74", "NKG7"]].tolist()  # other genes depend on both
    [True, True]
    """
    from ..models._devices import as_one, check_devices
    from ..models._training import resolve_device

    kind = model_class(model)
    given = {} if prior is None else {"prior": _frame(prior)}
    config = _config(model, preset, given | {name: _frame(value) for name, value in model_kwargs.items()})
    if covariates is not None:
        raise ValueError(
            "covariates=... are used by no model yet; fit one model per group, groupby=..., or the cells of one."
        )
    special = {"groupby": groupby, "init_from": init_from, "devices": None if devices == num_nodes == 1 else devices}
    if refused := [name for name, value in special.items() if value is not None and name not in kind.takes]:
        raise TypeError(f"model={model!r} takes no {listed(refused)}; leave them out.")
    if strategy not in ("auto", "ddp"):
        raise ValueError(f"strategy={strategy!r}: a fit keeps all weights on each device; choose 'auto' or 'ddp'.")
    limits = {"max_epochs": max_epochs, "max_steps": max_steps, "batch_size": batch_size}
    limits |= {"devices": devices, "num_nodes": num_nodes}
    schedule = kind.presets[preset][1].with_limits(**limits, learning_rate=learning_rate, patience=patience)
    config.check(schedule)
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    check_key(target, key_added)
    if perturbation_key is None and control is not None:
        raise ValueError(f"control={control!r} needs perturbation_key=..., the obs column that holds it.")
    if perturbation_key is not None and control is None:
        raise ValueError(f"perturbation_key={perturbation_key!r} needs control=..., its value for unperturbed cells.")
    if perturbation_key is not None and control is not None:
        control = control_of(target, perturbation_key, control)
    kept: dict[str, Any] = {
        "groupby": groupby,
        "perturbation_key": perturbation_key,
        "control": control,
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
    }
    require_known(genes, target)
    asked = Request(layer, use_raw, log1p, genes, n_top_genes, **kept)
    start = {} if init_from is None else {"init": _initial(target, init_from, kind)}
    place = resolve_device(device)
    check_devices(place, schedule)
    with as_one(place, schedule, generator(rng)) as random:
        # Separate streams: the split does not depend on how a model trains.
        for_split, *streams, for_controls = random.spawn(5)
        cells, found_in = read_cells(target, kind, config, asked, (for_split, for_controls))
        found = kind.fit(cells, config, schedule, device=place, rngs=(*streams, for_split), **start)
    params = {
        "version": version("dko"),
        "model": model,
        **found_in,
        **kept,
        **config.params,
        **schedule.params,
        **found.params,
        "rng": int(rng) if isinstance(rng, int | np.integer) else None,
    }
    _write(target, key_added, cells, found, params)
    return data if copy else None


# Parameters of every fit, which no option of a model may hide.
_TAKEN = {"version", "model", "target_sum", "n_summed", "rng", *SOURCE}


def _frame(value: Any) -> Any:
    """Return measured effects in an AnnData as a table; models take no AnnData."""
    if not isinstance(value, AnnData):
        return value
    if value.X is None:
        raise ValueError("prior has no X, where measured effects have to be.")
    return value.to_df()


def _config(model: str, preset: str | None, given: dict[str, Any]) -> Config:
    kind = model_class(model)
    if preset not in kind.presets:
        names = " or ".join(repr(name) for name in kind.presets if name is not None)
        raise ValueError(f"No preset {preset!r}; {f'choose {names} or ' * bool(names)}leave it out.")
    config = kind.presets[preset][0]
    known = config.options()
    if taken := sorted({*known} & _TAKEN):
        raise TypeError(f"model={model!r} needs other names for its options {listed(taken)}: a fit keeps others there.")
    if wrong := [name for name in given if name not in known]:
        others = {name: model_class(name).presets[None][0].options() for name in REGISTRY if name != model}
        for name, options in others.items():
            if set(wrong) <= set(options):
                raise TypeError(f"model={model!r} takes no {listed(wrong)}; only model={name!r} does.")
        raise TypeError(unknown_keywords("dko.tl.fit", wrong, [*list(signature(fit).parameters)[:-1], *known]))
    check_values(given, known)
    return replace(config, **given)


def _initial(adata: AnnData, init_from: str | Path, kind: type[Model]) -> Model:
    from ..io._model import read_model

    if str(init_from) in adata.uns:
        source = read_fitted(adata, str(init_from))
    elif Path(init_from).is_file():
        source = read_model(Path(init_from))
    else:
        raise FileNotFoundError(
            f"init_from={str(init_from)!r} is neither a key of adata.uns nor a file of dko.io.save."
        )
    if not isinstance(source.model, kind):
        raise ValueError(f"init_from={str(init_from)!r} holds a model of kind {source.kind!r}, and not {kind.name!r}.")
    return source.model


def _write(adata: AnnData, key: str, cells: TrainingCells, found: Fit, params: Mapping[str, Any]) -> None:
    """Write the model, the part of each cell, and what is known of cells and genes; say where."""
    content = {
        # None cannot be distinguished from a missing entry once it has been in a file.
        keys.PARAMS: {name: value for name, value in params.items() if value is not None},
        keys.GENES: cells.genes,
        keys.GROUPS: list(found.groups),
        keys.WEIGHTS: found.arrays,
        **found.tables,
    }
    if found.histories:
        alone = found.histories.get("")
        content[keys.HISTORY] = together(found.histories, found.column) if alone is None else alone
    if found.targets:
        content[keys.TARGETS] = list(found.targets)
    if (groupby := params["groupby"]) is not None:
        content[keys.CELLS] = membership(adata, groupby, found.groups)
    obs: dict[str, Any] = {keys.split(key): pd.Categorical(cells.split, categories=keys.SPLITS)}
    if found.errors is not None:
        obs[keys.fit_error(key)] = found.errors
    var = signal_column(found.arrays, cells.genes, adata, key)
    write_model(adata, key, content, var=var, obs=obs)
    evidence = "".join(f"; var[{name!r}] has the FDR of each gene" for name in var)
    calls = (
        "dko.tl.scan (every gene) and dko.tl.virtual_ko (some genes)"
        if model_class(params["model"]).scan is not None
        else "dko.tl.evaluate (against measured perturbations) and dko.tl.virtual_ko (any of its targets)"
    )
    say(f"The model is in uns[{key!r}], for {calls}{evidence}.")
