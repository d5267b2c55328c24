"""What a user may set once for a whole session."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Settings:
    """Session-wide defaults, read at the time of a call.

    Attributes
    ----------
    verbosity
        0 is silent, 1 tells what was chosen and shows progress bars.
    device
        What ``device="auto"`` means: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device such as ``"cuda:1"``.
    max_genes
        Most genes that a fit takes by default; if there are more, the most variable ones are taken.
    memory_budget
        Bytes that each kind of temporary values may take: cells as they are read, dense batches, panels of the map.
    result_budget
        Bytes that impacts of a scan, or profiles of named knockouts, may take in memory; above, a scan asks for a file.
    """

    verbosity: int = 1
    device: str = "auto"
    max_genes: int = 2_000
    memory_budget: int = 256 * 2**20
    result_budget: int = 8 * 2**30

    @contextmanager
    def override(self, **values: Any) -> Iterator[Settings]:
        """Use some other values inside a ``with`` block."""
        before = vars(self).copy()
        if unknown := sorted(set(values) - set(before)):
            raise ValueError(f"dko.settings has no {unknown}; it has {sorted(before)}.")
        vars(self).update(values)
        try:
            yield self
        finally:
            vars(self).update({name: before[name] for name in values})


settings = Settings()
