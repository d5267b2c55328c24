"""One picture of all sets: the default, the baselines and the ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._models import DEFAULT
from ._targets import CEILING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

_OURS, _BEST, _OTHER = "#d55e00", "#0072b2", "0.72"


def draw(means: pd.DataFrame, baselines: Sequence[str], path: Path) -> None:
    """Draw a row per set: dots of the default and of the baselines, the one that is best on all sets in blue."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = [name for name in baselines if name in means]
    best = str(means[names].mean().idxmax())
    figure, ax = plt.subplots(figsize=(7.5, 1.2 + 0.28 * len(means)), layout="constrained")
    place = np.arange(len(means))[::-1]
    for name in names:
        ax.scatter(means[name], place, s=22, color=_OTHER, lw=0, label="other baselines" if name == names[0] else None)
    ax.scatter(means[best], place, s=36, color=_BEST, lw=0, label=f"{best}, the best baseline on the mean of all sets")
    ax.scatter(means[DEFAULT], place, s=52, color=_OURS, lw=0, label="dko, the default")
    ax.scatter(means[CEILING], place, s=80, color="black", marker="|", label="ceiling: a perfect prediction")
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    ax.hlines(place, *ax.get_xlim(), color="0.93", lw=0.8, zorder=0)
    ax.set_yticks(place, list(means.index), fontsize="small")
    ax.set_ylim(-0.7, len(means) - 0.3)
    ax.set_xlabel("correlation of predicted and true or measured effect, mean over (n) knockouts")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)
