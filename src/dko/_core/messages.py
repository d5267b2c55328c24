"""What users are told: names in sentences, genes that cannot be found, messages and progress bars."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from .._settings import settings

if TYPE_CHECKING:
    from .._typing import AbstractContextManager, AnnData, Callable, Collection, Iterable, Iterator, Sequence


# Names that a sentence spells out at most.
_LISTED = 5


def listed(names: Iterable[object], limit: int = _LISTED) -> str:
    """Spell out a few names: ``'A', 'B' and 7 more``."""
    names = list(names)
    shown = ", ".join(repr(str(name)) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def require_one_of(choices: Collection[str], **given: str) -> None:
    """Raise a ValueError where a parameter, given by its name, is none of the choices."""
    for name, value in given.items():
        if value not in choices:
            raise ValueError(f"{name}={value!r} must be one of {listed(choices)}.")


def many(n: int, what: str) -> str:
    """Spell out how many there are: ``1 gene``, ``2,000 genes``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def shown(value: object) -> str:
    """Spell out a value in one line, cut off where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."


def unknown(what: str, wanted: Sequence[str], known: Iterable[str], where: str) -> str:
    """Say that names are not there, with the nearest names that are, of each that is spelled out."""
    by_lower = {str(name).lower(): str(name) for name in known}
    hints, alone = [], len(wanted) == 1
    for name in map(str, wanted[:_LISTED]):
        near = get_close_matches(name.lower(), list(by_lower), n=3 if alone else 2, cutoff=0.6)
        if near:
            hints.append(" or ".join(repr(by_lower[one]) for one in near) + ("" if alone else f" for {name!r}"))
    message = f"No {what} {listed(wanted)} in {where}."
    return f"{message} Did you mean {', '.join(hints)}?" if hints else message


def require_genes(wanted: Sequence[str], fitted: Sequence[str], adata: AnnData) -> None:
    """Raise a KeyError unless every wanted gene is part of the fit; say apart what is unknown and what was left out."""
    known = set(fitted)
    missing = [gene for gene in wanted if gene not in known]
    if not missing:
        return
    require_known(missing, adata)
    raise KeyError(
        f"The fit left out {listed(missing)} (it took {len(known)} of {adata.n_vars} genes); "
        "if any cell expresses it, name it in dko.tl.fit(adata, genes=[...]) and fit again."
    )


def require_known(genes: str | Sequence[str] | None, adata: AnnData) -> None:
    """Raise a KeyError unless all genes are in ``var_names``; of those that only ``raw`` has, say so."""
    named = [genes] if isinstance(genes, str) else [] if genes is None else [str(gene) for gene in genes]
    absent = [gene for gene in named if gene not in adata.var_names]
    if not absent:
        return
    refuse_of_raw(absent, adata)
    raise KeyError(unknown("gene", absent, adata.var_names, "var_names"))


def refuse_of_raw(absent: Sequence[str], adata: AnnData) -> None:
    """Raise a KeyError where genes are in ``raw`` and not in ``var_names``."""
    raw = [] if adata.raw is None else adata.raw.var_names
    if in_raw := [gene for gene in absent if gene in raw and gene not in adata.var_names]:
        raise KeyError(
            f"{listed(in_raw)}: in adata.raw but not in var_names, which has {adata.n_vars} of its {len(raw)} genes, "
            "perhaps the highly variable ones. Results are stored beside X: keep these genes among the chosen ones, "
            "and fit again."
        )


logger = logging.getLogger("dko")
T = TypeVar("T")

# Whether the call of the user, in this thread, shows progress bars.
_shown: ContextVar[bool] = ContextVar("dko_progress", default=True)
# Rewords messages, on the command line.
_wording: ContextVar[Callable[[str], str]] = ContextVar("dko_wording", default=str)


def say(message: str) -> None:
    """Tell the user what was chosen or done, by the ``dko`` logger if somebody listens there, else on stderr."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(message)
    elif settings.verbosity >= 1:
        sys.stderr.write(f"{_wording.get()(message)}\n")


@contextmanager
def worded(wording: Callable[[str], str]) -> Iterator[None]:
    """Reword all messages and warnings inside the block."""

    def reword(record: logging.LogRecord) -> bool:
        record.msg, record.args = wording(record.getMessage()), ()
        return True

    logger.addFilter(reword)
    try:
        with _inside(_wording, wording):
            yield
    finally:
        logger.removeFilter(reword)


def bars(*, shown: bool) -> AbstractContextManager[None]:
    """Show no progress bars inside the block unless `shown`, whatever `progress` the functions called there have."""
    return _inside(_shown, _shown.get() and shown)


def bars_shown() -> bool:
    """Return whether the user wants progress bars."""
    return _shown.get() and settings.verbosity >= 1 and os.environ.get("TQDM_DISABLE", "0") == "0"  # as tqdm has it


@contextmanager
def _inside(variable: ContextVar[T], value: T) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def bar(items: Iterable[T] | None = None, *, total: int, description: str, unit: str, **how: Any) -> Any:
    """Return a progress bar, which shows nothing where the user wants none."""
    from tqdm.auto import tqdm

    # Without the thread that tqdm starts to watch over bars, and never ends; each update is looked at instead.
    unwatched = type("Bar", (tqdm,), {"monitor_interval": 0})
    return unwatched(items, total=total, desc=description, unit=unit, disable=not bars_shown(), miniters=1, **how)


def progress(items: Iterable[T], *, total: int, description: str, unit: str) -> Iterator[T]:
    """Show a progress bar over `items`, once the job has taken longer than a second."""
    return iter(bar(items, total=total, description=description, unit=unit, delay=1.0))


@contextmanager
def progress_of(total: int, *, description: str, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, once the job has taken longer than a second; what it yields takes how much more is done."""
    with bar(total=total, description=description, unit=unit, unit_scale=True, delay=1.0, leave=False) as shown:
        yield shown.update


def drawn_of(n: int, n_all: int, what: str) -> str:
    """Say how many of something there are, or how many of them were drawn."""
    return many(n, what) if n == n_all else f"{n:,} of {many(n_all, what)}, at random"
