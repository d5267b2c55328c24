"""What a reader has to know before the results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._core import keys
from .._core.fitted import NO_SIGNAL, apart
from .._core.messages import listed
from .._core.names import DROPPED, HELD_OUT
from ..get._tables import predictions
from ._run import Run
from ._sections import best_baseline

# Cells of a group below which its means are mostly noise.
_FEW = 50
# Mean rank correlation of the sizes of effects above which knockouts are said to resemble each other.
_ALIKE = 0.5
_EFFECTS = {
    "total": "total: what a gene does on all paths, by a regression for each pair of genes, adjusted for depth and "
    "shrunken.",
    "direct": "direct: what a gene does while the presence of all other genes stays as it is. They are not tested.",
}


class Remark(NamedTuple):
    """What a reader has to know; a warning where something is wrong or unknown with these results."""

    text: str
    is_warning: bool = True


def _note(text: str) -> Remark:
    return Remark(text, is_warning=False)


def remarks(run: Run) -> list[Remark]:
    """Return warnings and notes about these results, warnings first."""
    parts = (_of_effects, _of_screen, _of_quality, _of_ranking, _of_training, _of_cells, _of_evaluation)
    return sorted((remark for part in parts for remark in part(run)), key=lambda remark: not remark.is_warning)


def _of_effects(run: Run) -> Iterator[Remark]:
    fitted = run.fitted
    if fitted.model.where == "control":
        return
    yield _note(
        "The model has learned from unperturbed cells, where cause cannot be distinguished from correlation: take the "
        "results as hypotheses."
    )
    if (effects := fitted.params.get("effects")) in _EFFECTS:
        yield _note(f"Effects are {_EFFECTS[effects]}")
    if fitted.signal is not None and (silent := int((fitted.signal > NO_SIGNAL).sum())):
        yield Remark(
            f"{silent:,} of the {len(fitted.genes):,} genes have no significant co-expression in these cells (FDR > "
            f"{NO_SIGNAL:g}). What their knockouts do to other genes may be noise."
        )
    if (alike := float(fitted.params.get("similarity", np.nan))) > _ALIKE:
        yield Remark(
            f"Effects of different knockouts resemble each other: their sizes correlate at {alike:.2f} on average. "
            f"What is particular to one: `{run.call('get.effects', centred=True)}`"
        )


def _of_screen(run: Run) -> Iterator[Remark]:
    if keys.PERTURBATIONS not in run.fitted.tables:
        return
    found = run.fitted.table(keys.PERTURBATIONS)
    yield _note(
        "The model has learned from measured perturbations. Predictions for unseen ones are shrunken towards no "
        "effect, as far as the seen ones do not predict each other."
    )
    if dropped := list(found.loc[found["role"] == DROPPED, "perturbation"].astype(str)):
        yield Remark(f"Perturbations that were dropped, for too few cells or unknown genes: {listed(dropped, 10)}.")
    if not (found["role"] == HELD_OUT).any():
        yield Remark(
            "No perturbation was held out, so nothing shows how well unseen ones are predicted: "
            "`dko.tl.fit(adata, holdout=[...])`, then `dko.tl.evaluate`."
        )


def _of_quality(run: Run) -> Iterator[Remark]:
    if not isinstance(run.quality, pd.DataFrame):
        return
    own, means = run.quality.loc["model", "bray_curtis"], run.quality.drop(index="model")["bray_curtis"]
    if means.min() <= own:
        yield Remark(
            f"The model predicts held-out cells no better than the {means.idxmin()} (Bray-Curtis {own:.3f} against "
            f"{means.min():.3f}): it has learned little about single cells."
        )
    if run.quality.attrs["split"] == keys.VALIDATION:
        yield _note(
            "The quality of the fit is that of the validation cells, which were used to choose the weights. For cells "
            "that were not: `dko.tl.fit(adata, test_fraction=0.2)`"
        )


def _of_ranking(run: Run) -> Iterator[Remark]:
    for found in run.rankings:
        if found.place is None:
            which = "over all cells" if found.groupby is None else f"in groups of {found.groupby}"
            yield Remark(
                f"Genes are ranked {which} without intervals, and without a test in these cells. Better: "
                f"`{run.call('tl.rank_genes', groupby=found.groupby)}`"
            )
        if found.groupby is not None and (left_out := sorted(set(run.groups) - set(found.table["group"]))):
            names = ", ".join(left_out)
            yield _note(f"Genes are not ranked in {names}: too few cells, or not asked for.")


def _of_training(run: Run) -> Iterator[Remark]:
    """Say whether training ended too early: the last validation is the best of at least three."""
    if keys.HISTORY not in run.fitted.tables:
        return
    losses = {name: curve["validation_loss"].to_numpy() for name, curve in apart(run.get("history")).items()}
    if falling := [name for name, loss in losses.items() if len(loss) > 2 and np.argmin(loss) == len(loss) - 1]:
        where = f" of {', '.join(falling)}" if any(falling) else ""
        yield Remark(f"The validation loss{where} was still falling when training ended: allow more steps.")


def _of_cells(run: Run) -> Iterator[Remark]:
    counts = run.groups.value_counts() if run.groupby is not None else {"all": run.adata.n_obs}
    if few := [f"{group} ({n:,})" for group, n in sorted(counts.items()) if n < _FEW]:
        yield Remark(f"Fewer than {_FEW} cells: {', '.join(few)}. Means over them are mostly noise.")


def _of_evaluation(run: Run) -> Iterator[Remark]:
    if keys.evaluation(run.key) not in run.adata.uns:
        yield _note("Nothing here has been compared with measured knockouts.")
        return
    rows = predictions(run.get("evaluation"))
    if (best := best_baseline(rows)) and not rows.at["model", "pearson"] > rows.at[best[0], "pearson"]:
        yield Remark(
            f"Measured effects are predicted better by {best[0]} (Pearson {rows.at[best[0], 'pearson']:.3f}) than by "
            f"the model ({rows.at['model', 'pearson']:.3f}); the difference is {best[1]}."
        )
