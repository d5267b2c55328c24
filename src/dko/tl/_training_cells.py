"""Reading the cells of a fit: their groups or perturbations, the split, and the genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import Source
from .._core.cluster import in_parts
from .._core.expression import read_expression
from .._core.fitted import source_params
from .._core.groups import group_values, grouping
from .._core.messages import listed, logger, say, unknown
from .._core.names import DROPPED, HELD_OUT, TRAINED, members, perturbations, spelled, warn_of_screen
from .._core.scale import check_normalize
from ..models.fitting import Perturbation, ScreenConfig, TrainingCells
from ..models.rows import kept, stacked
from ..pp._select_genes import choose

if TYPE_CHECKING:
    from .._core.expression import Expression
    from .._typing import AnnData, Mapping, Sequence
    from ..models import Model
    from ..models.fitting import Config

# Two or three cells to learn from, one to validate on, one to test on, with the customary fractions.
_MIN_CELLS = 5
# Control cells that a model of perturbations can be trained on.
_MIN_CONTROLS = 20


class Request(NamedTuple):
    """Which cells and genes a user wants a model to be fitted to; see :func:`dko.tl.fit`."""

    layer: str | None
    use_raw: bool
    log1p: bool | None
    genes: str | Sequence[str] | None
    n_top_genes: int | None
    groupby: str | None
    perturbation_key: str | None
    control: str | None
    validation_fraction: float
    test_fraction: float


def read_cells(
    adata: AnnData, model: type[Model], config: Config, asked: Request, rngs: Sequence[np.random.Generator]
) -> tuple[TrainingCells, dict[str, Any]]:
    """Return the cells that a model is fitted to, and parameters that say where they were; `rngs` split them."""
    source = Source(adata, asked.layer, asked.use_raw)
    names, log = source.genes, model.reads == "log"
    if len(names) < 2:
        raise ValueError(f"A fit needs at least 2 expressed genes, got {len(names)}.")
    held_out, everyone, screen = np.array([], dtype=int), {}, {}  # type: ignore[var-annotated]
    if model.where == "control":
        if not isinstance(config, ScreenConfig):
            raise TypeError(f"The options of model={model.name!r} must be a subclass of ScreenConfig.")
        groups, held_out, screen = _screen(adata, names, config, asked, rngs[1])
    else:
        groups, everyone = _unperturbed(adata, asked)
    split = split_cells(groups, adata.n_obs, asked.validation_fraction, asked.test_fraction, rngs[0])
    split[held_out] = keys.TEST
    seen = np.isin(split, (keys.TRAIN, keys.VALIDATION))
    found = read_expression(source, asked.log1p, linear=not log, seen=seen)
    if isinstance(config, ScreenConfig):
        check_normalize(found.scale, config.normalize, source)
    else:
        _refuse_empty_cells(found, split)
    always = {gene for label in groups if label for gene in (screen[label].genes if screen else ())}
    genes = _choose_genes(found, model, asked, always)
    params = source_params(found.scale, source)
    blocks = found.linear("read the cells of the fit")
    if log:
        control = groups.get("", np.arange(adata.n_obs))
        target_sum = float(np.median(found.totals[control[seen[control]]]))
        blocks = found.logged(target_sum, "read the cells of the fit")
        if found.scale.kind == "counts":
            params |= {"target_sum": target_sum, "n_summed": len(names)}
    columns = pd.Index(names).get_indexer(genes)
    parts = (block if len(columns) == block.shape[1] else block[:, columns].sorted_indices() for _, block in blocks)
    values = kept(parts, len(columns)) if model.by_rows else stacked(list(parts))
    cells = TrainingCells(values, genes, found.scale.kind == "counts", groups, split, everyone, screen, in_parts)
    return cells, params


def _unperturbed(adata: AnnData, asked: Request) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the rows that may train, by group, and all rows of these groups; without groups there is one, named ''."""
    usable = np.ones(adata.n_obs, dtype=bool)
    if asked.perturbation_key is None:
        warn_of_screen(adata)
    elif asked.control is not None:
        values = perturbations(adata, asked.perturbation_key, asked.control, adata.var_names)
        usable = (values == asked.control).to_numpy()
    names, group_of = grouping(adata, asked.groupby, usable)
    groups = {name: np.flatnonzero(group_of == number) for number, name in enumerate(names)}
    small = {name: len(rows) for name, rows in groups.items() if len(rows) < _MIN_CELLS}
    if len(small) == len(groups):
        what = "cells" if asked.perturbation_key is None else "unperturbed cells"
        where = " in a group" if asked.groupby else ""
        raise ValueError(f"A fit needs at least {_MIN_CELLS} {what}{where}, got {max(small.values(), default=0)}.")
    if small:
        logger.warning("Groups of fewer than %d cells get no model: %s.", _MIN_CELLS, listed(small))
    groups = {name: rows for name, rows in groups.items() if name not in small}
    if asked.groupby is None:
        return groups, {"": np.arange(adata.n_obs)}
    values = group_values(adata, asked.groupby).to_numpy()
    return groups, {name: np.flatnonzero(values == name) for name in groups}


def _screen(
    adata: AnnData, measured: Sequence[str], config: ScreenConfig, asked: Request, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Perturbation]]:
    """Return the rows of control cells and of each trained perturbation, those kept out, and all perturbations."""
    if asked.perturbation_key is None or asked.control is None:
        raise ValueError(
            "This model learns from measured perturbations; name their obs column and its value for unperturbed "
            "cells, perturbation_key=... and control=..."
        )
    described = config.known(measured)
    genes = set(measured) | (described or set())
    values = perturbations(adata, asked.perturbation_key, asked.control, genes)
    known = sorted(set(values.dropna()) - {asked.control})
    wanted = [config.holdout] if isinstance(config.holdout, str) else list(config.holdout)
    kept_out = {spelled(str(label), asked.control, genes) for label in wanted}
    if missing := sorted(kept_out - set(known)):
        raise KeyError(unknown("perturbation", missing, known, f"obs[{asked.perturbation_key!r}]"))
    controls = np.flatnonzero(values == asked.control)
    apart = np.sort(rng.permutation(controls)[: round(config.test_controls * len(controls))])
    controls = np.setdiff1d(controls, apart)
    if len(controls) < _MIN_CONTROLS:
        raise ValueError(f"A fit needs at least {_MIN_CONTROLS} control cells, got {len(controls)}.")
    rows = {label: np.flatnonzero(values == label) for label in known}
    of = {label: members(label, genes) for label in known}
    dropped = _dropped({label: rows[label] for label in known if label not in kept_out}, of, described, config)
    role = dict.fromkeys(known, TRAINED) | dict.fromkeys(dropped, DROPPED) | dict.fromkeys(kept_out, HELD_OUT)
    screen = {label: Perturbation(len(rows[label]), role[label], of[label]) for label in known}
    groups = {label: rows[label] for label in known if role[label] == TRAINED}
    return {"": controls, **groups}, np.concatenate([apart, *(rows[label] for label in sorted(kept_out))]), screen


def _dropped(
    rows: Mapping[str, np.ndarray], of: Mapping[str, list[str]], described: set[str] | None, config: ScreenConfig
) -> list[str]:
    """Return which perturbations cannot be trained on, and say so in one message."""
    few = [label for label in rows if len(rows[label]) < config.min_cells]
    blind = [] if described is None else [label for label in rows if label not in few and not described >= {*of[label]}]
    reasons = {
        f"of fewer than min_cells={config.min_cells} cells": few,
        "whose genes have no features (not measured; name them in features=...)": blind,
    }
    if parts := [f"{listed(labels)}, {reason}" for reason, labels in reasons.items() if labels]:
        logger.warning("Perturbations left out of the fit: %s.", "; ".join(parts))
    if (n_trained := len(rows) - len(few) - len(blind)) < 2:
        raise ValueError(
            f"A fit needs at least 2 perturbations to train on, got {n_trained} of {len(of)} "
            f"({len(few)} of too few cells, {len(blind)} without features)."
        )
    return [*few, *blind]


def split_cells(
    groups: Mapping[str, np.ndarray],
    n_cells: int,
    validation_fraction: float,
    test_fraction: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Assign cells of each group at random: test, of all, validation, of the rest, training; others unused."""
    split = np.full(n_cells, keys.UNUSED, dtype=object)
    for rows in groups.values():
        n_test = round(test_fraction * len(rows))
        if len(rows) - n_test < 2:
            raise ValueError(
                f"test_fraction={test_fraction} of {len(rows)} cells leaves fewer than 2 to train and to validate on; "
                "lower it."
            )
        shuffled = rng.permutation(rows)
        n_validation = min(max(1, round(validation_fraction * (len(rows) - n_test))), len(rows) - n_test - 1)
        split[shuffled] = keys.TRAIN
        split[shuffled[:n_test]] = keys.TEST
        split[shuffled[n_test : n_test + n_validation]] = keys.VALIDATION
    return split


def _refuse_empty_cells(found: Expression, split: np.ndarray) -> None:
    used = split != keys.UNUSED
    if (void := used & (found.sizes == 0)).any():
        raise ValueError(
            f"{void.sum()} of {used.sum()} cells express no gene at all: "
            f"{listed(found.source.adata.obs_names[void])}; filter them out first, "
            "sc.pp.filter_cells(adata, min_genes=1)."
        )


def _choose_genes(found: Expression, model: type[Model], asked: Request, always: set[str]) -> list[str]:
    """Choose the genes with the cells that the fit may look at; measured targets are in any case."""
    names, n_wanted = found.genes, asked.n_top_genes
    always = always & set(names)
    if model.most_genes is not None and asked.genes is None and n_wanted is None:
        expressed = found.n_seen > 0
        if (n := int(expressed.sum())) <= model.most_genes[0]:
            say(f"Genes: all {n:,} that are expressed, of {len(names):,}.")
            return [name for name, there in zip(names, expressed, strict=True) if there or name in always]
        n_wanted = model.most_genes[1]
    chosen = always | set(choose(found, asked.genes, n_wanted))
    return [name for name in names if name in chosen]
