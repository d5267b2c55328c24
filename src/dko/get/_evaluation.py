"""The scores of an evaluation as tables, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from anndata import AnnData
from mudata import MuData

from .._core import keys, results
from .._core.cells import unwrap
from .._core.messages import many, unknown
from .._core.results import read_params, read_table
from .._core.verb import verb


@verb
def evaluation(
    adata: AnnData | MuData,
    *,
    summary: bool = True,
    metrics: str | Sequence[str] | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return the scores of the model and of the baselines, which :func:`dko.tl.evaluate` describes.

    The row ``replicate`` is the ceiling of an experiment: a half of the measured cells as a prediction of the other,
    which only a prediction without noise can pass. The row ``measurement`` is no method: it describes the measured
    cells, with the correlation of their halves, ``ceiling``, and that of a perfect prediction, ``ceiling_whole``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.evaluate`.
    summary
        A row per ``method``; ``attrs["n_perturbations"]`` says over how many the means are, ``attrs["over"]`` over
        which (reliable, or all). Otherwise a row per ``method`` and ``perturbation``. NaN where a method has no value.
    metrics
        Metrics to return; by default all. Of a summary these are columns per metric: the mean, the ends of its 95 %
        interval, ``_low`` and ``_high``, and, where the model has it, ``_scaled`` (not in evaluations of version 0.1),
        ``_gain``, ``_gain_low`` and ``_gain_high``. First come the columns that a report shows, which are the means of
        the metrics that matter most, with interval and gain of ``pearson``, and the ceilings; ``"main"`` returns these
        alone.
    %(table)s

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, perturbation_key="perturbation", control="control")
    >>> dko.tl.evaluate(screen, perturbation_key="perturbation", control="control")
    >>> scores = dko.get.evaluation(screen, metrics="main")
    >>> scores.attrs["n_perturbations"]
    8
    >>> scores.loc["model", ["pearson", "pearson_low", "pearson_high"]].round(1).tolist()
    [0.7, 0.6, 0.9]
    >>> dko.get.evaluation(screen, metrics="auroc").columns.tolist()[:3]
    ['auroc', 'auroc_low', 'auroc_high']
    """
    target = unwrap(adata, mod)
    tidy = read_table(target, results.EVALUATION, key, keys.SUMMARY if summary else keys.TABLE)
    # In the order of the evaluation, which pivoting would sort.
    methods, known = tidy["method"].unique(), tidy["metric"].unique()
    named = [metrics] if isinstance(metrics, str) else metrics
    only_main = summary and isinstance(metrics, str) and metrics == "main"  # of an array, every name would be compared
    chosen = list(known) if named is None or only_main else list(named)
    if missing := [name for name in chosen if name not in known]:
        raise KeyError(unknown("metric", missing, known, "the evaluation"))
    if not summary:
        index = pd.MultiIndex.from_product([methods, tidy["perturbation"].unique()], names=["method", "perturbation"])
        wide = tidy.pivot(index=["method", "perturbation"], columns="metric", values="value")
        return wide.reindex(index=index, columns=chosen).rename_axis(columns=None)
    wide = _summarised(tidy, methods, chosen)
    if named is None or only_main:
        reported = [name for one in results.EVALUATION.columns[keys.SUMMARY] for name in (one.name, one.upper)]
        main = [name for name in [*reported, "ceiling", "ceiling_whole"] if name in wide]
        wide = wide[main if only_main else list(dict.fromkeys([*main, *wide]))]
    params = read_params(target, results.EVALUATION, key)
    wide.attrs = {"n_perturbations": int(params["n_perturbations"]), "over": str(params["summary_over"])}
    return wide


def _summarised(tidy: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row per method, and the columns of each metric side by side."""
    ends = ["mean", "low", "high", *(["scaled"] if "scaled" in tidy else []), "gain", "gain_low", "gain_high"]
    wide = tidy.pivot(index="method", columns="metric", values=ends)
    compared = set(tidy.loc[tidy["method"] == "model", "metric"])
    columns = {
        (end, metric): metric if end == "mean" else f"{metric}_{end}"
        for metric in metrics
        for end in (ends if metric in compared else ends[:3])
    }
    return wide.loc[methods, list(columns)].set_axis(list(columns.values()), axis=1)


def predictions(summary: pd.DataFrame) -> pd.DataFrame:
    """Return an evaluation without the rows of the measurement, of which files of version 0.1 have no replicate."""
    return summary.drop(index=["measurement", "replicate"], errors="ignore")


def scored(summary: pd.DataFrame) -> str:
    """Say over how many and which perturbations the means of an evaluation are."""
    n, over = summary.attrs["n_perturbations"], summary.attrs["over"]
    return many(n, f"{'reliable ' * (over == 'reliable')}perturbation")
