"""What a reader has to know before the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import get
from .._core import keys
from .._core.fitted import NO_SIGNAL, apart
from .._core.names import DROPPED, HELD_OUT
from ..get._tables import predictions
from ._blocks import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._run import Run

# Cells of a group below which its means are mostly noise.
_FEW = 50
# Mean rank correlation of the sizes of effects above which knockouts are said to resemble each other.
_ALIKE = 0.5
_BELOW_MEANS = "predicts cells that did not train no better than"


def remarks(run: Run) -> list[Remark]:
    """Return warnings and notes about these results."""
    parts = (_of_screen if run.sccvae else _of_model, _of_training, _of_cells, _of_evaluation)
    return [remark for part in parts for remark in part(run)]


def _of_model(run: Run) -> Iterator[Remark]:
    """Say what results of unperturbed cells can tell."""
    fitted, params = run.fitted, run.fitted.params
    yield Remark(
        "The model has learned from unperturbed cells. Nothing separates cause from correlation there: take the "
        "results as hypotheses.",
        is_warning=False,
    )
    if fitted.total:
        yield Remark(
            "Effects are total ones: what a gene does on all paths, each pair of genes by a regression of its own, "
            "adjusted for depth and shrunken.",
            is_warning=False,
        )
    else:
        yield Remark(
            "Effects are direct ones: what a gene does while the presence of all other genes stays as it is. Nothing "
            "says which of them are above noise.",
            is_warning=False,
        )
    if fitted.signal is not None and (silent := int((fitted.signal > NO_SIGNAL).sum())):
        yield Remark(
            f"For {silent:,} of the {len(fitted.genes):,} genes there is no evidence in these cells that others depend "
            "on them (FDR above 5 %). What their knockouts do to other genes may be noise."
        )
    if (alike := float(params.get("similarity", np.nan))) > _ALIKE:
        yield Remark(
            f"Effects of different knockouts resemble each other: their sizes correlate at {alike:.2f} on average. "
            f"What is particular to one: `{run.call('get.effects', centred=True)}`"
        )
    yield from _of_quality(run)
    yield from _of_ranking(run)


def _of_quality(run: Run) -> Iterator[Remark]:
    if isinstance(run.quality, str):
        return
    own, means = run.quality.loc["model", "bray_curtis"], run.quality.drop(index="model")["bray_curtis"]
    better = means[means <= own]
    if len(better):
        yield Remark(
            f"The model {_BELOW_MEANS} the {better.idxmin()} (Bray-Curtis {own:.3f} against {better.min():.3f}): what "
            "it knows of single cells is little."
        )
    if run.quality.attrs["split"] == keys.VALIDATION:
        yield Remark(
            "The quality of the fit is that of the validation cells, which have chosen the weights. For cells that had "
            "no say: `dko.tl.fit(adata, test_fraction=0.2)`",
            is_warning=False,
        )


def _of_ranking(run: Run) -> Iterator[Remark]:
    for found in run.rankings:
        which = "over all cells" if found.groupby is None else f"in groups of {found.groupby}"
        if found.place is None:
            yield Remark(
                f"Genes are ranked {which} without intervals, and without a test in these cells. Better: "
                f"`{run.call('tl.rank_genes', groupby=found.groupby)}`"
            )
        if found.groupby is not None and (left_out := sorted(set(run.groups) - set(found.table["group"]))):
            names = ", ".join(left_out)
            yield Remark(f"Genes are not ranked in {names}: too few cells, or not asked for.", is_warning=False)


def _of_screen(run: Run) -> Iterator[Remark]:
    """Say what a model of perturbations can tell."""
    found = run.fitted.table(keys.PERTURBATIONS)
    yield Remark(
        "The model has learned from measured perturbations. Of those that it has not seen it says little on purpose, "
        "as far as the seen ones fail to foretell each other.",
        is_warning=False,
    )
    if dropped := list(found.loc[found["role"] == DROPPED, "perturbation"].astype(str)):
        names = ", ".join(dropped[:10]) + (f" and {len(dropped) - 10:,} more" if len(dropped) > 10 else "")
        yield Remark(f"Perturbations that were dropped, for too few cells or unknown genes: {names}.")
    if not (found["role"] == HELD_OUT).any():
        yield Remark(
            "No perturbation was held out, so nothing shows how well unseen ones are predicted: "
            "`dko.tl.fit(adata, holdout=[...])`, then `dko.tl.evaluate`."
        )


def _of_training(run: Run) -> Iterator[Remark]:
    """Say whether training ended too early."""
    curves = apart(get.history(run.adata, key=run.key))
    falling = [name for name, curve in curves.items() if _still_falls(curve["validation_loss"].to_numpy())]
    if falling:
        where = f" of {', '.join(falling)}" if any(falling) else ""
        yield Remark(f"The validation loss{where} was still falling when training ended: allow more steps.")


def _still_falls(loss: np.ndarray) -> bool:
    """Tell whether the last validation is the best of at least three."""
    return len(loss) > 2 and int(np.argmin(loss)) == len(loss) - 1


def _of_cells(run: Run) -> Iterator[Remark]:
    """Name groups of few cells."""
    counts = run.groups.value_counts() if run.groupby is not None else {"all": run.adata.n_obs}
    if few := [f"{group} ({n:,})" for group, n in sorted(counts.items()) if n < _FEW]:
        yield Remark(f"Fewer than {_FEW} cells: {', '.join(few)}. Means over them are mostly noise.")


def _of_evaluation(run: Run) -> Iterator[Remark]:
    """Say whether predictions were held against a measurement, and whether they are worth it."""
    if keys.evaluation(run.key) not in run.adata.uns:
        yield Remark("Nothing here has been compared with measured knockouts.", is_warning=False)
        return
    rows = predictions(get.evaluation(run.adata, key=run.key))
    others = rows["pearson"].drop(["model", "oracle strength"], errors="ignore").dropna()
    own = rows.at["model", "pearson"]
    if len(others) and not own > others.max():
        best = others.idxmax()
        gain, low, high = (rows.at[best, f"pearson_gain{end}"] for end in ("", "_low", "_high"))
        yield Remark(
            f"Measured effects are predicted better by {best} (Pearson {others.max():.3f}) than by the model "
            f"({own:.3f}); the difference is {gain:+.3f}"
            + (f" (95 % interval {low:+.3f} to {high:+.3f})." if low == low else ".")
        )
