"""From results to HTML."""

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
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import get, tl
from .._core import columns, keys, results
from .._core.fitted import NO_SIGNAL
from .._core.names import HELD_OUT, TRAINED
from .._core.tables import table_of
from ._remarks import remarks
from ._run import Run
from ._sections import SECTIONS, Picture

# Dots per inch, and CSS pixels per inch at which a picture is shown: more dots for sharp screens and print.
_DPI, _SHOWN = 144, 84


def render(run: Run, title: str) -> str:
    """Return the page."""
    # Names come from the user's file: every value is escaped.
    environment = Environment(
        loader=PackageLoader(__package__, "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # As matplotlib draws by default, whatever the user has set for other figures.
    with matplotlib.style.context("default"):
        sections = [_content(name, run) for name, (result, _) in SECTIONS.items() if run.has(result)]
    params = {"key": run.key, **run.fitted.params}
    shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in params.values()]
    return environment.get_template("page.html").render(
        title=title,
        version=version("dko"),
        date=date.today().isoformat(),
        facts=list(_facts(run)),
        remarks=remarks(run),
        sections=sections,
        missing=list(_missing(run)),
        parameters=table_of(
            pd.DataFrame({"name": list(params), "value": shown}), columns.PARAMETERS, "Parameters of the fit"
        ),
    )


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


def _facts(run: Run) -> Iterator[tuple[str, str, str]]:
    """Return what there is at a glance: name, number and detail of cells, genes and model."""
    adata, fitted = run.adata, run.fitted
    counts = adata.obs[keys.split(run.key)].value_counts() if keys.split(run.key) in adata.obs else {}
    split = ", ".join(f"{counts[name]:,} {name}" for name in keys.SPLITS if counts.get(name, 0))
    yield "Model", fitted.kind, fitted.model.title
    yield "Cells", f"{adata.n_obs:,}", split
    yield "Genes of the model", f"{len(fitted.genes):,}", f"of {adata.n_vars:,} in the file"
    if run.groupby is not None:
        n_models = f", {len(fitted.groups)} models" if fitted.groups else ""
        yield "Groups", f"{run.groups.nunique():,}", f"of {run.groupby}{n_models}"
    if keys.PERTURBATIONS in fitted.tables:
        roles = fitted.table(keys.PERTURBATIONS)["role"].value_counts()
        yield "Perturbations", f"{roles.get(TRAINED, 0):,}", f"trained, {roles.get(HELD_OUT, 0):,} held out"
    if effects := fitted.params.get("effects"):
        yield "Effects", effects, "on all paths between genes" if effects == "total" else "all other genes as they are"
    if fitted.signal is not None:
        n = int((fitted.signal <= NO_SIGNAL).sum())
        yield "Genes with significant co-expression", f"{n:,}", f"of {len(fitted.genes):,}, FDR up to {NO_SIGNAL:g}"
