"""Options of the model of unperturbed cells, and the default and the published setting."""

from __future__ import annotations

from dataclasses import dataclass

from ..fitting import Config, Presets, Schedule
from .prior import PriorKnowledge, read_prior

# With more genes, maps of genes to genes are kept compactly: that which predicts as two factors, effects in half
# precision.
MANY = 4_000


@dataclass(frozen=True)
class DkoConfig(Config):
    """Options of ``model="dko"``.

    Attributes
    ----------
    rank
        Rank of the gene x gene influence, which is then kept as the product of two matrices; None keeps the full one.
    effects
        What a knockout does to other genes: ``"direct"``, ``"total"``, or ``"auto"``.
    prior
        Known regulation, or effects measured elsewhere.
    """

    rank: int | None = None
    effects: str = "auto"
    prior: PriorKnowledge | None = None

    def __post_init__(self) -> None:
        if self.effects not in ("auto", "direct", "total"):
            raise ValueError(f"No effects {self.effects!r}; choose one of auto, direct, total.")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank={self.rank!r} must be a whole number above 0.")
        if self.published and self.rank is not None:
            raise ValueError("preset='paper' has layers as wide as there are genes; leave out rank=... or the preset.")
        only_direct = "preset='paper'" if self.published else "rank=..." if self.rank is not None else None
        if only_direct and self.effects == "total":
            raise ValueError(f"{only_direct} has direct effects only; leave it out, or effects='total'.")
        if self.effects == "direct":
            only_direct = "effects='direct'"
        if only_direct and self.prior is not None:
            raise ValueError(f"prior=... is a part of total effects; leave it out, or {only_direct}.")
        read_prior(self.prior)

    @property
    def published(self) -> bool:
        """Whether all is as in arXiv 2510.03359."""
        return self.preset == "paper"

    @property
    def chosen(self) -> str | None:
        """The effects, where these are known before the fit."""
        if self.published or self.rank is not None:
            return "direct"
        return "total" if self.prior is not None else None if self.effects == "auto" else self.effects


PRESETS: Presets = {
    None: (DkoConfig(), Schedule(batch_size=64, learning_rate=0.004, max_steps=5_000, patience=3, reductions=2)),
    # arXiv 2510.03359
    "paper": (
        DkoConfig(preset="paper"),
        Schedule(batch_size=20, learning_rate=0.01, max_steps=5_000, validate_every=1),
    ),
}
