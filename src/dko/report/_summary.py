"""What a fit is of: its cells, genes and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from .._core import keys
from .._core.fitted import NO_SIGNAL
from .._core.names import HELD_OUT, TRAINED
from ._blocks import Column
from ._table import table

if TYPE_CHECKING:
    from ._blocks import Table
    from ._run import Run

_KINDS = {keys.DKO: ("dko", "from unperturbed cells"), keys.SCCVAE: ("SCCVAE", "from measured perturbations")}


@dataclass(frozen=True)
class Fact:
    """A number at a glance."""

    name: str
    value: str
    detail: str = ""


def facts(run: Run) -> list[Fact]:
    """Return what there is: cells, genes, model."""
    adata, fitted = run.adata, run.fitted
    name, learned = _KINDS[fitted.kind]
    found = [
        Fact("Model", name, learned),
        Fact("Cells", f"{adata.n_obs:,}", _split(run)),
        Fact("Genes of the model", f"{len(fitted.genes):,}", f"of {adata.n_vars:,} in the file"),
    ]
    if run.groupby is not None:
        n_models = f", {len(fitted.groups)} models" if fitted.groups else ""
        found.append(Fact("Groups", f"{run.groups.nunique():,}", f"of {run.groupby}{n_models}"))
    if run.sccvae:
        roles = fitted.table(keys.PERTURBATIONS)["role"].value_counts()
        found.append(
            Fact("Perturbations", f"{roles.get(TRAINED, 0):,}", f"trained, {roles.get(HELD_OUT, 0):,} held out")
        )
    else:
        found.append(Fact("Effects", "total" if fitted.total else "direct", _meaning(fitted.total)))
    if fitted.signal is not None:
        n = int((fitted.signal <= NO_SIGNAL).sum())
        found.append(
            Fact(
                "Genes that others depend on",
                f"{n:,}",
                f"of {len(fitted.genes):,}, FDR up to {NO_SIGNAL:g}",
            )
        )
    return found


def _meaning(total: bool) -> str:
    return "on all paths between genes" if total else "with all other genes as they are"


def _split(run: Run) -> str:
    """Say how many cells trained, validated and so on."""
    column = run.adata.obs.get(keys.split(run.key))
    if column is None:
        return ""
    counts = column.value_counts()
    return ", ".join(f"{counts[name]:,} {name}" for name in keys.SPLITS if counts.get(name, 0))


def parameters(run: Run) -> Table:
    """List the parameters of the fit."""
    columns = (Column("name", "parameter", "text"), Column("value", "value", "text"))
    params = {"key": run.key, **run.fitted.params}
    rows = pd.DataFrame({"name": list(params), "value": [_plain(value) for value in params.values()]})
    return table(rows, columns, "Parameters of the fit")


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
