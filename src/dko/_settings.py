"""What a user may set once for a whole session."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

# Values of :meth:`Settings.override`, of this thread.
_overridden: ContextVar[dict[str, Any]] = ContextVar("dko_settings", default={})  # noqa: B039 (never changed)


@dataclass
class Settings:
    """Session-wide defaults, read at the time of a call.

    Attributes
    ----------
    verbosity
        0 is silent, 1 says what was chosen and shows progress bars.
    device
        What ``device="auto"`` means: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device such as ``"cuda:1"``.
    max_genes
        Most genes that a fit takes by default; if there are more, the most variable ones are taken.
    memory_budget
        Bytes that each kind of temporary values may take: cells as they are read, dense batches, panels of the map.
        Cells of a fit that are more are kept in a scratch file (in the folder of ``TMPDIR``). No number depends on it.
    result_budget
        Bytes that impacts of a scan, or profiles of named knockouts, may take in memory; above, a scan asks for a file.
    client
        Whose workers compute knockouts and the sums of fits: a ``distributed.Client``; None, the one that is active, if
        any; or False, none.
    """

    verbosity: int = 1
    device: str = "auto"
    max_genes: int = 2_000
    memory_budget: int = 256 * 2**20
    result_budget: int = 8 * 2**30
    client: Client | Literal[False] | None = None

    def __getattribute__(self, name: str) -> Any:
        overridden = _overridden.get()
        return overridden[name] if name in overridden else object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value, inside an :meth:`override` of it until that ends."""
        overridden = _overridden.get()
        if name in overridden:
            overridden[name] = value
        else:
            object.__setattr__(self, name, value)

    @contextmanager
    def override(self, **values: Any) -> Iterator[Settings]:
        """Use some other values inside a ``with`` block, and in the same thread.

        Examples
        --------
        >>> adata = dko.datasets.grn(200, 30, rng=0)
        >>> with dko.settings.override(verbosity=0):
        ...     dko.tl.fit(adata)  # says nothing
        """
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"dko.settings has no {unknown}; it has {sorted(known)}.")
        before = _overridden.set({**_overridden.get(), **values})
        try:
            yield self
        finally:
            _overridden.reset(before)


settings = Settings()
