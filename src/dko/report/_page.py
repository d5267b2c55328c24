"""From results to HTML."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING

from ._blocks import Missing, Section
from ._picture import plain_style
from ._remarks import remarks
from ._summary import facts, parameters
from .sections import sections_of

if TYPE_CHECKING:
    from markupsafe import Markup

    from ._run import Run


def render(run: Run, title: str) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    with plain_style():
        found = [section(run) for section in sections_of(run)]
    sections = [part for part in found if isinstance(part, Section)]
    # Names come from the user's file: every value is escaped unless it is marked as HTML, which only `code` does.
    environment = Environment(
        loader=PackageLoader(__package__, "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment.get_template("page.html").render(
        title=title,
        version=version("dko"),
        date=date.today().isoformat(),
        facts=facts(run),
        remarks=sorted(remarks(run), key=lambda remark: not remark.is_warning),
        sections=sections,
        missing=[part for part in found if isinstance(part, Missing)],
        parameters=parameters(run),
    )


def _code(text: str) -> Markup:
    """Turn what stands between backticks into code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )
