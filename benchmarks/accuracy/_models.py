"""The models that are compared: the paper's setting, both kinds of effects, and the default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from anndata import AnnData

    Fitted = tuple[list[str], int, AnnData]
    """(names of the models that this is, seed, fitted cells)."""

PAPER, DIRECT, TOTAL, DEFAULT = "paper", "direct", "total", "default"
# Of the model of perturbations: one fit instead of the mean of several, and so with other ways from a gene to a shift.
# The code "unit" was one of version 0.1.0, which stored results are of.
SINGLE, UNIT, SOFTMAX = "single fit", "unit code", "softmax code"
MODELS = (DEFAULT, TOTAL, DIRECT, PAPER, SINGLE, UNIT, SOFTMAX)
_QUICK_STEPS = 20
_ONLY_DEFAULT = "DKO_ACCURACY_ONLY_DEFAULT"


def only_default() -> None:
    """Fit nothing but the default, here and in all processes that are started from here."""
    os.environ[_ONLY_DEFAULT] = "1"


def models(cells: AnnData, seeds: Iterable[int], *, quick: bool, paper: bool = True, **how: Any) -> Iterator[Fitted]:
    """Fit every model with every seed; the default is one of the two kinds of effects, which is not fitted again."""
    import dko

    how |= {"max_steps": _QUICK_STEPS} if quick else {}
    for seed in seeds:

        def fit(seed: int = seed, **keywords: Any) -> AnnData:
            return dko.tl.fit(cells, rng=seed, progress=False, copy=True, **how, **keywords)

        default = fit()
        kind = default.uns["dko"]["params"]["effects"]
        yield [DEFAULT, kind], seed, default
        if os.environ.get(_ONLY_DEFAULT):
            continue
        other = DIRECT if kind == TOTAL else TOTAL
        yield [other], seed, fit(effects=other)
        if paper:
            yield [PAPER], seed, fit(preset="paper")
