"""The default among the baselines on every set of data: tables and one picture, all from the rows of knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._report import table as markdown
from ._models import DEFAULT, MODELS
from ._picture import draw
from ._targets import CEILING, NO_CHANGE, RELIABLE, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

CSV, PICTURE, PAGE = "accuracy_targets.csv.gz", "accuracy_sets.png", "accuracy_sets.md"
# The same for every knockout, so that they know nothing of the gene.
_BLIND = ("gene mean", "gene spread")
_FLOOR = ("permuted cells",)
# From which correlation on a size can be judged; a size is right within this factor.
_MIN_R, _FACTOR = 0.1, 3
_N_DRAWS = 2_000
_COUNTS = ("n", "slope: n")
_SHARES = [0, 0.1, 0.5, 0.9, 1]


def write(targets: pd.DataFrame, about: dict[str, object], folder: Path) -> str:
    """Add the rows of this run to those of the folder, in place of older ones of the same sets; return the page."""
    path = folder / CSV
    if path.is_file():
        before = pd.read_csv(path, keep_default_na=True)
        targets = pd.concat([before[~before["data"].isin(targets["data"])], targets], ignore_index=True)
    # The same rows make the same file.
    targets.to_csv(path, index=False, float_format="%.4g", compression={"method": "gzip", "mtime": 0})
    return redraw(about, folder)


def redraw(about: dict[str, object], folder: Path) -> str:
    """Write the page and the picture from the rows that the folder has."""
    targets = pd.read_csv(folder / CSV)[list(Target._fields)]
    text = page(targets, about)
    (folder / PAGE).write_text(text)
    reliable = targets[targets["reliable"] & (targets["method"] == DEFAULT)]
    n = reliable.drop_duplicates(["data", "network", "target"]).groupby("data").size()
    means = by_set(targets)
    draw(means.rename(index=lambda data: f"{data} ({n[data]})"), methods_of(targets), folder / PICTURE)
    return text


def by_set(targets: pd.DataFrame) -> pd.DataFrame:
    """Return the mean correlation over the reliable knockouts of every set, sets x methods, measured sets first."""
    ordered = targets[targets["reliable"]].sort_values("network", na_position="first", kind="stable")
    found = one_per_target(ordered)["r"].groupby(["data", "method"]).mean().unstack()
    return found.loc[ordered["data"].unique()]


def one_per_target(targets: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of every knockout."""
    keys = ["data", "network", "target", "method"]
    return targets.groupby(keys, sort=False, dropna=False).mean(numeric_only=True)


def methods_of(targets: pd.DataFrame) -> list[str]:
    """Return the baselines that can be chosen, those that know nothing of the gene last."""
    found = [name for name in targets["method"].unique() if name not in (*MODELS, *_FLOOR, CEILING, NO_CHANGE)]
    return sorted(found, key=lambda name: name in _BLIND)


def page(targets: pd.DataFrame, about: dict[str, object]) -> str:
    """Return all tables."""
    targets = targets.sort_values("network", na_position="first", kind="stable")
    means, rivals = by_set(targets), methods_of(targets)
    order = [name for name in (*MODELS, *rivals, *_FLOOR, CEILING) if name in means]
    fewer = [DEFAULT, *rivals, CEILING]
    seeds = targets.loc[targets["method"] == DEFAULT, "seed"].nunique()
    note = (
        "*r*: Pearson correlation of predicted and true or measured effect, mean over the reliable knockouts: those on "
        f"which halves of the cells agree (r above {RELIABLE}), and of simulated ones the 15 with the largest true "
        "effects in each network. The ceiling is what a perfect prediction has. *Slope*: the factor that is missing to "
        "the measured size, 1 is right. *Error*: squared error over that of no change, below 1 is a gain. Baselines "
        "whose scale is a convention have neither. *Strength*: root mean square of the effect over genes."
    )
    unmeasurable = targets[~targets["reliable"] & targets["network"].isna()]
    parts = [
        "## All sets\n",
        f"{about['date']}; {seeds} fits of each model{', quick run' * bool(about['quick'])}; {about['machine']}\n",
        f"{note}\n",
        f"**r on every set**\n\n{_wide(means[order])}",
        f"**Leave one set out: the baseline that is best on the other sets**\n\n{_left_out(targets, rivals)}",
        f"**Sizes of the default, reliable knockouts**\n\n{_sizes(targets[targets['reliable']])}",
        f"**Sizes of the default, knockouts without measurable effect**\n\n{_sizes(unmeasurable)}",
        f"**By strength of the effect**\n\n{_strata(targets, _by_strength, fewer)}",
        f"**By share of the cells that have the gene, reliable knockouts**\n\n"
        f"{_strata(targets[targets['reliable']], _by_share, fewer)}",
    ]
    return "\n".join(parts)


def leave_one_out(targets: pd.DataFrame, rivals: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    """Hold the default on each set against the baseline that is best on the mean of the other sets.

    Returns
    -------
    A row per set, and for the means of sets: ``default``, ``rival`` (its name), ``score`` of the rival, ``gain`` of the
    default over it, and its 95 % interval, ``low`` and ``high``, of a bootstrap over the knockouts within each set;
    ``best`` baseline of the set itself, and by how much the default is above it, ``above``.
    """
    means = by_set(targets)
    found, draws = {}, []
    for data, here in means.iterrows():
        others = means.drop(index=data)[list(rivals)].mean()
        # A single set has no others.
        rival = others.idxmax() if others.notna().any() else rivals[0]
        best = here[list(rivals)].idxmax()
        gains = _gains(targets, str(data), rival)
        draws.append(rng.choice(gains, (_N_DRAWS, len(gains))).mean(axis=1))
        scores = {"default": here[DEFAULT], "rival": rival, "score": here[rival], "gain": gains.mean()}
        found[data] = scores | _ends(draws[-1], len(gains)) | {"best": best, "above": here[DEFAULT] - here[best]}
    table = pd.DataFrame.from_dict(found, orient="index")
    measured = table.index.isin(targets["data"][targets["network"].isna()])
    of_sets = {}
    for name, kept in (("measured", measured), ("simulated", ~measured), ("all", np.full(len(measured), True))):
        if kept.any():
            mean = table[kept].mean(numeric_only=True)
            ends = _ends(np.array(draws)[kept].mean(axis=0), 2)
            of_sets[f"mean of {name} sets"] = {"rival": "", "best": "", **mean, **ends}
    return pd.concat([table, pd.DataFrame.from_dict(of_sets, orient="index")])


def _gains(targets: pd.DataFrame, data: str, rival: str) -> np.ndarray:
    r = one_per_target(targets[targets["reliable"] & (targets["data"] == data)])["r"].unstack("method")
    return (r[DEFAULT] - r[rival]).to_numpy()


def _ends(draws: np.ndarray, n: int) -> dict[str, float]:
    """Return the interval of a bootstrap over n knockouts; a single one has none."""
    low, high = np.quantile(draws, [0.025, 0.975]) if n > 1 else (np.nan, np.nan)
    return {"low": float(low), "high": float(high)}


def _left_out(targets: pd.DataFrame, rivals: Sequence[str]) -> str:
    found = leave_one_out(targets, rivals, np.random.default_rng(0))
    lines = [
        [
            str(data),
            _digits(row["default"]),
            *(row["rival"], _digits(row["score"]), _interval(row)),
            *(row["best"], f"{row['above']:+.3f}"),
        ]
        for data, row in found.iterrows()
    ]
    rival = ["best on the others", "its r here", "default minus it [95 %]"]
    return markdown(["", "default", *rival, "best here", "default minus it"], lines)


def sizes(targets: pd.DataFrame) -> dict[str, float]:
    """Return how right the sizes of predictions are: slopes where r is above 0.1, and errors of all."""
    slope = targets["slope"][targets["r"] > _MIN_R].dropna()
    error = targets["relative_error"].dropna()
    right = slope.between(1 / _FACTOR, _FACTOR)
    return {
        "n": len(error),
        "slope: n": len(slope),
        "median": slope.median(),
        "lower quartile": slope.quantile(0.25),
        "upper quartile": slope.quantile(0.75),
        f"within a factor of {_FACTOR}": right.mean(),
        "error: median": error.median(),
        "above 1.1": (error > 1.1).mean() if len(error) else np.nan,
        "worst": error.max(),
    }


def _sizes(targets: pd.DataFrame) -> str:
    default = one_per_target(targets[targets["method"] == DEFAULT]).reset_index()
    rows = [(data, sizes(some)) for data, some in default.groupby("data", sort=False)]
    if not rows:
        return "None.\n"
    rows.append(("all knockouts", sizes(default)))
    return _wide(pd.DataFrame([row for _, row in rows], index=[name for name, _ in rows]))


def _by_strength(some: pd.DataFrame) -> pd.Series:
    """Name the quarter that each knockout is in, of all whose effect is known."""
    known = some["reliable"] | some["network"].notna()
    ends = some["strength"][known & (some["method"] == DEFAULT)].quantile([0.25, 0.5, 0.75]).to_numpy()
    quarter = pd.Series(np.searchsorted(ends, some["strength"]) + 1, index=some.index)
    return quarter.map("{}. quarter".format).where(known, "no measurable effect")


def _by_share(some: pd.DataFrame) -> pd.Series:
    places = np.clip(np.searchsorted(_SHARES, some["share_of_cells"], side="left"), 1, len(_SHARES) - 1)
    names = [f"{low:.0%} to {high:.0%}" for low, high in zip(_SHARES[:-1], _SHARES[1:], strict=True)]
    return pd.Series([names[place - 1] for place in places], index=some.index)


def _strata(targets: pd.DataFrame, stratum_of: Callable[[pd.DataFrame], pd.Series], order: Iterable[str]) -> str:
    """Return r of all methods and the sizes of the default in strata of measured, and of simulated, knockouts."""
    found = one_per_target(targets).reset_index()
    found["reliable"] = found["reliable"] > 0
    parts = []
    for kind, some in found.groupby(np.where(found["network"].isna(), "measured", "simulated")):
        stratum = stratum_of(some)
        r = some.groupby([stratum, some["method"]])["r"].mean().unstack()
        r = r[[name for name in order if name in r]]
        default = some[some["method"] == DEFAULT]
        about = pd.DataFrame({name: sizes(one) for name, one in default.groupby(stratum.loc[default.index])}).T
        kept = about[["n", "median", "error: median", "above 1.1"]]
        kept = kept.rename(columns={"median": "slope", "error: median": "error"})
        parts.append(pd.concat([kept, r], axis=1).rename(index=lambda name, kind=kind: f"{kind}: {name}"))
    return _wide(pd.concat(parts))


def _wide(table: pd.DataFrame) -> str:
    cells = table.apply(lambda column: column.map("{:.0f}".format if column.name in _COUNTS else _digits))
    return markdown(["", *map(str, table.columns)], [[str(row[0]), *row[1:]] for row in cells.itertuples()])


def _interval(row: pd.Series) -> str:
    known = np.isfinite(row["low"])
    return f"{row['gain']:+.3f}" + (f" [{row['low']:+.3f}, {row['high']:+.3f}]" if known else "")


def _digits(value: float) -> str:
    return f"{value + 0.0:.3f}".replace("-0.000", "0.000") if np.isfinite(value) else ""
