"""Fitting an SCCVAE to the perturbed and control cells of an AnnData."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core import keys
from ..._core.cells import Source
from ..._core.fitted import of_members, source_params
from ..._core.messages import say
from ..._core.scale import check_normalize, read_expression
from ..._core.write import write_model
from ..._rng import generator
from ._log_expression import log_expression
from ._perturbed_cells import MIN_CELLS, PerturbedCells, perturbed_cells
from ._sccvae_config import settings_of
from ._split import check_fractions, split_cells, validations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from scipy import sparse

    from ..._rng import RNG
    from ...models.sccvae import Cells, Ensemble, FeaturesOf, Graph


def fit_sccvae(
    target: AnnData,
    *,
    preset: str | None,
    layer: str | None,
    use_raw: bool,
    log1p: bool | None,
    genes: str | Sequence[str] | None,
    n_top_genes: int | None,
    perturbation_key: str | None,
    control: str | None,
    validation_fraction: float,
    test_fraction: float,
    device: str,
    rng: RNG,
    key_added: str,
    normalize: bool = False,
    holdout: str | Sequence[str] = (),
    test_controls: float = 0.0,
    min_cells: int = MIN_CELLS,
    features: FeaturesOf | None = None,
    n_components: int | None = None,
    graph: Graph = "full",
    n_members: int | None = None,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    **of_model: Any,
) -> None:
    """Fit and write, as :func:`dko.tl.fit` says; `of_model` overrides fields of the configuration."""
    from ...models._device import resolve_device
    from ...models.sccvae import Targets, features_of, fit_members, graph_of, with_strength

    settings = settings_of(
        preset,
        n_members=n_members,
        features=features,
        n_components=n_components,
        batch_size=batch_size,
        limits={
            "max_epochs": max_epochs,
            "max_steps": max_steps,
            "learning_rate": learning_rate,
            "patience": patience,
        },
        of_model=of_model,
    )
    check_fractions(validation_fraction, test_fraction)
    place = resolve_device(device)
    for_split, for_features, _, for_training, for_controls = generator(rng).spawn(5)

    source = Source(target, layer, use_raw)
    found = read_expression(source, log1p, linear=False)
    raw, names, scale = found.values, found.genes, found.scale
    check_normalize(scale, normalize, source)
    cells = perturbed_cells(
        target, names, perturbation_key, control, holdout, min_cells, settings.features, test_controls, for_controls
    )
    split = split_cells(cells.rows, target.n_obs, validation_fraction, test_fraction, for_split)
    split[cells.held_out] = keys.TEST
    seen = (split == keys.TRAIN) | (split == keys.VALIDATION)
    expression = log_expression(raw, names, scale.kind, genes, n_top_genes, cells, seen)
    # As large as X, and no longer needed where genes were left out.
    del raw, found
    measured = expression.genes
    names, values = features_of(
        settings.features,
        expression.values[np.flatnonzero(seen & (cells.number < 0) & cells.used)],
        measured,
        cells.targets,
        settings.n_components,
        for_features,
        scaled=settings.config.code == "neighbours",
    )
    known = _cells(expression.values, cells).of(np.flatnonzero(seen))
    mask, node = graph_of(graph, names, cells.targets, settings.config.n_latent)
    config = replace(settings.config, n_latent=len(mask))
    index = pd.Index(names)
    targets = Targets(
        names, values, index.get_indexer(cells.targets), pd.Index(measured).get_indexer(index), mask, node
    )
    validating = validations(cells.rows, split, settings.n_members, for_split)
    model, histories = fit_members(
        known, validating, targets, config, settings.schedule, device=place, rng=for_training
    )
    (for_strengths,) = for_training.spawn(1)
    model = with_strength(model, known, targets.columns, for_strengths)
    say(
        f"Fitted {len(model.members)} model(s) of {len(cells.trained)} perturbations of {len(cells.targets)} genes on "
        f"{place}."
    )
    params = {
        "version": version("dko"),
        "model": keys.SCCVAE,
        "preset": preset,
        **source_params(scale, source),
        **expression.source,
        "perturbation_key": perturbation_key,
        "control": control,
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "test_controls": test_controls,
        "min_cells": min_cells,
        "features": settings.features if isinstance(settings.features, str) else "given",
        "graph": graph if isinstance(graph, str) else "given",
        "n_members": len(model.members),
        "config": config.plain,
        "rng": int(rng) if isinstance(rng, int | np.integer) else None,
        **vars(settings.schedule),
    }
    write_model(
        target,
        key_added,
        {
            keys.PARAMS: {name: value for name, value in params.items() if value is not None},
            keys.GENES: measured,
            keys.GROUPS: [],
            keys.TARGETS: names,
            keys.WEIGHTS: model.arrays,
            keys.HISTORY: histories[0] if settings.n_members == 1 else of_members(histories),
            keys.PERTURBATIONS: _table(cells, names, model),
        },
        obs={keys.split(key_added): pd.Categorical(split, categories=keys.SPLITS)},
    )


def _cells(values: sparse.csr_matrix, cells: PerturbedCells) -> Cells:
    from ...models.sccvae import Cells

    position = {gene: number for number, gene in enumerate(cells.targets)}
    members = np.zeros((len(cells.trained), len(cells.targets)), dtype=bool)
    for number, genes in enumerate(cells.trained.values()):
        members[number, [position[gene] for gene in genes]] = True
    return Cells(values, cells.number, members)


def _table(cells: PerturbedCells, names: list[str], model: Ensemble) -> pd.DataFrame:
    """Return what became of every perturbation."""
    table = cells.table()
    lengths, known = np.full(len(table), np.nan, dtype=np.float32), set(names)
    for row, label in enumerate(table["perturbation"]):
        genes = cells.genes_of(label)
        if known.issuperset(genes):
            lengths[row] = model.length(model.shifts(pd.Index(names).get_indexer(genes)).sum(dim=0))
    return table.assign(strength=lengths)
