"""How a report opens: what was fitted, whether it beats its baselines, which genes matter where, what to doubt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from .._core import keys
from .._core.genes import MITOCHONDRIAL, RIBOSOMAL
from .._core.groups import group_values
from .._core.messages import many
from .._core.names import HELD_OUT, TRAINED
from ..get._evaluation import predictions, scored
from ..models.base import FDR
from ..pl._ranking import DOWNSTREAM, rates
from ._run import Ranking, Run
from ._sections import best_baseline

# Cells of a group below which its means are mostly noise.
_FEW = 50
# Groups, those with most cells, and genes of each that are named.
_N_GROUPS, _N_GENES = 5, 3


class Point(NamedTuple):
    """A sentence, and what it lists."""

    text: str
    listed: tuple[str, ...] = ()


def conclude(run: Run) -> Iterator[Point]:
    """Yield what the results that are there say, the unfavourable as plainly as the good."""
    yield Point(_fitted(run))
    if isinstance(run.quality, pd.DataFrame):
        yield Point(_predicts_cells(run.quality))
    yield Point(_predicts_knockouts(run))
    # Of the groups, if there are any.
    if ranked := next((found for found in run.rankings if not found.table.empty), None):
        yield _keystones(run, ranked)
    yield Point("Be careful:", tuple(_doubts(run)))


def _fitted(run: Run) -> str:
    fitted, adata = run.fitted, run.adata
    split = adata.obs.get(keys.split(run.key))
    n = adata.n_obs if split is None else int(split.isin([keys.TRAIN, keys.VALIDATION]).sum())
    said = (
        f"A {fitted.kind} model ({fitted.model.title}) was fitted to {n:,} of the {many(adata.n_obs, 'cell')} and "
        f"{len(fitted.genes):,} of the {many(adata.n_vars, 'gene')} of this file"
    )
    if keys.PERTURBATIONS in fitted.tables:
        roles = fitted.table(keys.PERTURBATIONS)["role"].value_counts()
        said += f", with {many(roles.get(TRAINED, 0), 'perturbation')} to learn from"
        said += f" and {roles.get(HELD_OUT, 0):,} held out"
    if fitted.groups:
        said += f", one model for each of {many(len(fitted.groups), 'group')} of {fitted.params['groupby']}"
    return f"{said}."


def _predicts_cells(quality: pd.DataFrame) -> str:
    own, means = quality.loc["model", "bray_curtis"], quality.drop(index="model")["bray_curtis"]
    against = f"the {means.idxmin()} (Bray-Curtis distance {own:.3f} against {means.min():.3f})"
    if own < means.min():
        return f"It predicts {quality.attrs['split']} cells better than the best baseline, {against}."
    return f"It predicts {quality.attrs['split']} cells no better than {against}: it has learned little about them."


def _predicts_knockouts(run: Run) -> str:
    if keys.evaluation(run.key) not in run.adata.uns:
        return "It has not been checked against measured knockouts."
    summary = run.get("evaluation")
    rows = predictions(summary)
    own = rows.at["model", "pearson"]
    checked = f"Checked against the measured effects of {scored(summary)}"
    if not (best := best_baseline(rows)):
        return f"{checked}, its predictions have a Pearson correlation of {own:.3f}; no baseline was scored."
    name, gain = best
    its, verdict = rows.at[name, "pearson"], "better" if own > rows.at[name, "pearson"] else "no better"
    low, high = rows.loc[name, ["pearson_gain_low", "pearson_gain_high"]]
    # One perturbation alone has no interval.
    chance = ", which may be chance" if low <= 0 <= high or low != low else ""
    return (
        f"{checked}, it predicts them {verdict} than the best baseline, {name} (Pearson {own:.3f} against {its:.3f}); "
        f"the difference is {gain}{chance}."
    )


def _keystones(run: Run, found: Ranking) -> Point:
    text = "Genes whose loss changes the others most, by mean downstream impact (none ribosomal or mitochondrial)"
    if found.groupby is None:
        return Point(f"{text}: {_first(found.table)}.")
    parts = {str(group): part for group, part in found.table.groupby("group", observed=True)}
    largest = [group for group in group_values(run.adata, found.groupby).value_counts().index if group in parts]
    items = [f"{group}: {_first(parts[group])}" for group in largest[:_N_GROUPS]]
    if len(largest) > _N_GROUPS:
        items.append(f"{many(len(largest) - _N_GROUPS, 'smaller group')}: see below")
    return Point(f"{text}, in each {found.groupby}:", tuple(items))


def _first(table: pd.DataFrame) -> str:
    known = rates(table)
    kept = table if known is None else table[known <= FDR]
    kept = kept[~kept["mark"].isin([MITOCHONDRIAL, RIBOSOMAL])]
    if kept.empty:
        return f"none at FDR ≤ {FDR:g}"
    rows = kept.head(_N_GENES)
    genes = ", ".join(f"{gene} {impact:.3f}" for gene, impact in zip(rows["gene"], rows[DOWNSTREAM], strict=True))
    return f"{genes} ({'not tested' if known is None else f'FDR up to {known[rows.index].max():.2g}'})"


def _doubts(run: Run) -> Iterator[str]:
    fitted = run.fitted
    if fitted.model.where == "control":
        yield (
            "Predictions for perturbations that it has not seen are shrunken towards no effect, as far as those that "
            "it has seen do not predict each other."
        )
    else:
        yield (
            "Cause cannot be distinguished from correlation in unperturbed cells, so effects are hypotheses, and their "
            "sizes an upper bound of what is causal."
        )
    if fitted.signal is not None and (silent := int((fitted.signal > FDR).sum())):
        yield (
            f"{silent:,} of the {len(fitted.genes):,} genes have no significant co-expression (FDR > {FDR:g}), "
            "so what their knockouts do may be noise."
        )
    counts = run.groups.value_counts() if run.groupby is not None else {"all": run.adata.n_obs}
    if few := [f"{group} ({n:,})" for group, n in sorted(counts.items()) if n < _FEW]:
        yield f"Means over fewer than {_FEW} cells are mostly noise: {', '.join(few)}."
