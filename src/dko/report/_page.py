"""From results to HTML, and what a reader has to know before the results."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from inspect import signature
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import matplotlib.style
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import get, pl, tl
from .._core import columns, keys, results
from .._core.fitted import apart
from .._core.messages import listed
from .._core.names import DROPPED, HELD_OUT
from .._core.tables import table_of
from ._conclusion import conclude
from ._run import Run
from ._sections import SECTIONS, Picture

_EFFECTS = {
    "total": "total: what a gene does on all paths, by a regression for each pair of genes, adjusted for depth and "
    "shrunken.",
    "direct": "direct: what a gene does while the presence of all other genes stays as it is. They are not tested.",
}
# Dots per inch, and CSS pixels per inch at which a picture is shown: more dots for sharp screens and print.
_DPI, _SHOWN = 144, 84


def render(run: Run, title: str) -> str:
    # In our style, with matplotlib's sizes of figures, whatever the user has set for other figures.
    with matplotlib.style.context("default"), pl.style():
        sections = [_content(name, run) for name, (result, _) in SECTIONS.items() if run.has(result)]
    params = {"key": run.key, **run.fitted.params}
    shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in params.values()]
    parameters = pd.DataFrame({"name": list(params), "value": shown})
    return page(
        "page.html",
        title=title,
        conclusion=list(conclude(run)),
        warnings=list(_warnings(run)),
        notes=list(_notes(run)),
        sections=sections,
        missing=list(_missing(run)),
        parameters=table_of(parameters, columns.PARAMETERS, "Parameters of the fit"),
    )


def page(name: str, **values: Any) -> str:
    """Fill in a template; names come from the user's file, so that every value is escaped."""
    pages = PackageLoader(__package__, "page")
    environment = Environment(
        loader=pages, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made = {"version": version("dko"), "date": date.today().isoformat()}
    return environment.get_template(name).render(**made, **values)


def _content(name: str, run: Run) -> dict[str, Any]:
    result, blocks_of = SECTIONS[name]
    blocks = list(blocks_of(run))
    return {
        "id": name,
        "title": result.title,
        "lead": " ".join([result.lead, *(block for block in blocks if isinstance(block, str))]).strip(),
        "blocks": [_image(one) if isinstance(one, Picture) else one for one in blocks if not isinstance(one, str)],
        "call": run.call(f"get.{result.getter}", **_options(get, result.getter, run)) if result.getter else "",
    }


def _options(package: ModuleType, name: str, run: Run) -> dict[str, Any]:
    """Return the keywords by which a function takes the groups of this report."""
    grouped = "groupby" in signature(getattr(package, name)).parameters
    place = run.rankings[0].place if name == results.RANKING.getter and run.rankings else None
    key_added = None if place == keys.ranking(run.key) else place
    return {"groupby": run.groupby if grouped else None, "key_added": key_added}


def _image(picture: Picture) -> dict[str, Any]:
    figure, file = picture.draw(), io.BytesIO()
    with warnings.catch_warnings():
        # Names that are longer than the figure: the picture is poor, and the page still has its tables.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
    plt.close(figure)
    width, height = (round(inches * _SHOWN) for inches in figure.get_size_inches())
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "width": width, "height": height, "alt": picture.alt}


def _missing(run: Run) -> Iterator[tuple[str, str]]:
    """Name the results that are not there and the calls that make them, of those that this model can have."""
    for result, _ in SECTIONS.values():
        name, given = result.call
        # A new fit is no result of this one, and enrichment needs another package.
        if not run.has(result) and run.can_have(result) and name not in ("fit", "enrichment"):
            yield result.title, run.call(f"tl.{name}", given, **_options(tl, name, run))


def _notes(run: Run) -> Iterator[str]:
    fitted = run.fitted
    if (effects := fitted.params.get("effects")) in _EFFECTS:
        yield f"Effects are {_EFFECTS[effects]}"
    if isinstance(run.quality, pd.DataFrame) and run.quality.attrs["split"] == keys.VALIDATION:
        yield (
            "The quality of the fit is that of the validation cells, which were used to choose the weights. For cells "
            "that were not: `dko.tl.fit(adata, test_fraction=0.2)`"
        )
    for found in run.rankings:
        if found.groupby is not None and (left_out := sorted(set(run.groups) - set(found.table["group"]))):
            yield f"Genes are not ranked in {', '.join(left_out)}: too few cells, or not asked for."


def _warnings(run: Run) -> Iterator[str]:
    fitted = run.fitted
    if keys.PERTURBATIONS in fitted.tables:
        found = fitted.table(keys.PERTURBATIONS)
        if dropped := list(found.loc[found["role"] == DROPPED, "perturbation"]):
            yield f"Perturbations that were dropped, for too few cells or unknown genes: {listed(dropped, 10)}."
        if not (found["role"] == HELD_OUT).any():
            yield (
                "No perturbation was held out, so nothing shows how well unseen ones are predicted: "
                "`dko.tl.fit(adata, holdout=[...])`, then `dko.tl.evaluate`."
            )
    if keys.HISTORY in fitted.tables:
        # Training ended too early where the last validation is the best of at least three.
        losses = {name: curve["validation_loss"].to_numpy() for name, curve in apart(run.get("history")).items()}
        if falling := [name for name, loss in losses.items() if len(loss) > 2 and np.argmin(loss) == len(loss) - 1]:
            where = f" of {', '.join(falling)}" if any(falling) else ""
            yield f"The validation loss{where} was still falling when training ended: allow more steps."
    if (alike := float(run.fitted.params.get("similarity", np.nan))) > 0.5:
        yield (
            f"Effects of different knockouts resemble each other: their sizes correlate at {alike:.2f} on average. "
            f"What is particular to one: `{run.call('get.effects', centred=True)}`"
        )
    for found in run.rankings:
        if found.place is None:
            which = "over all cells" if found.groupby is None else f"in groups of {found.groupby}"
            yield (
                f"Genes are ranked {which} without intervals, and without a test in these cells. Better: "
                f"`{run.call('tl.rank_genes', groupby=found.groupby)}`"
            )
