"""How well predicted knockouts fit measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.results import EVALUATION, read_params, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@verb
def evaluation(
    adata: AnnData | MuData, *, summary: bool = True, key: str = keys.DEFAULT, mod: str = "rna"
) -> pd.DataFrame:
    """Return the scores of the model and of the baselines; :func:`dko.tl.evaluate` says what they mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.evaluate`.
    summary
        Means over the perturbations, or a row per method and perturbation.
    %(results)s

    Returns
    -------
    With `summary`, a row per ``method`` and, for each metric, three columns: the mean, and the ends of its 95 %
    interval, ``{metric}_low`` and ``{metric}_high``. Where the model has it, also ``{metric}_scaled``, the mean from no
    change, 0, to a replicate, 1 (not in evaluations of version 0.1), and by how much the model exceeds the method,
    ``{metric}_gain``, ``{metric}_gain_low`` and ``{metric}_gain_high``, from the same perturbations.
    ``attrs["n_perturbations"]`` says how many they are, and ``attrs["over"]`` which (reliable, or all).
    Otherwise a row per ``method`` and ``perturbation`` and a column per metric. NaN where a method has no such value.

    Raises
    ------
    KeyError
        Nothing was evaluated.
    """
    target = unwrap(adata, mod)
    tidy = read_table(target, EVALUATION, key, keys.SUMMARY if summary else keys.TABLE)
    # In the order of the evaluation, which pivoting would sort.
    methods, metrics = tidy["method"].unique(), tidy["metric"].unique()
    if not summary:
        index = pd.MultiIndex.from_product([methods, tidy["perturbation"].unique()], names=["method", "perturbation"])
        wide = tidy.pivot(index=["method", "perturbation"], columns="metric", values="value")
        return wide.reindex(index=index, columns=metrics).rename_axis(columns=None)
    ends = {"mean": "", "low": "_low", "high": "_high"}
    gains = {"scaled": "_scaled", "gain": "_gain", "gain_low": "_gain_low", "gain_high": "_gain_high"}
    gains = {name: suffix for name, suffix in gains.items() if name in tidy}
    compared = set(tidy.loc[tidy["method"] == "model", "metric"])
    suffixes = {metric: [*ends.values(), *(gains.values() if metric in compared else ())] for metric in metrics}
    ends |= gains
    wide = tidy.pivot(index="method", columns="metric", values=list(ends))
    wide.columns = [f"{metric}{ends[end]}" for end, metric in wide.columns]
    wide = wide.loc[methods, [f"{metric}{suffix}" for metric in metrics for suffix in suffixes[metric]]]
    params = read_params(target, EVALUATION, key)
    wide.attrs = {"n_perturbations": int(params["n_perturbations"]), "over": str(params["summary_over"])}
    return wide


def predictions(summary: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of what was measured, which predict nothing; files of version 0.1 have no replicate."""
    return summary.drop(index=["measurement", "replicate"], errors="ignore")
