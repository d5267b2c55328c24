"""Fits of a fixed number of steps, so that the time is that of the steps and not of when they end."""

from __future__ import annotations

import dko


class Fit:
    """Time and highest memory of 100 steps, by default and as published."""

    timeout = 120
    params = ([None, "paper"],)
    param_names = ("preset",)

    def setup(self, preset: str | None) -> None:
        """Simulate, and load what only a first call does."""
        dko.settings.verbosity = 0
        self.cells = dko.datasets.grn(300, 200, share_present=(0.3, 0.9))
        dko.tl.fit(self.cells, preset=preset, max_steps=2, progress=False)

    def time_fit(self, preset: str | None) -> None:
        """Fit."""
        dko.tl.fit(self.cells, preset=preset, max_steps=100, progress=False)

    def peakmem_fit(self, preset: str | None) -> None:
        """Fit."""
        dko.tl.fit(self.cells, preset=preset, max_steps=100, progress=False)
