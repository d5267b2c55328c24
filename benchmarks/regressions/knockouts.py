"""Knockouts of fitted cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dko

if TYPE_CHECKING:
    from anndata import AnnData


class Knockouts:
    """Time and highest memory of every verb, in cells that express about half of 200 genes."""

    timeout = 120

    def setup_cache(self) -> AnnData:
        """Simulate and fit once; asv hands each benchmark a copy of its own."""
        cells = dko.datasets.grn(300, 200, share_present=(0.3, 0.9))
        dko.tl.fit(cells, preset="paper", max_steps=50, progress=False)
        return cells

    def setup(self, cells: AnnData) -> None:
        """Load and compile what only a first call does."""
        dko.settings.verbosity = 0
        self.genes = list(cells.var_names[:2])
        few = cells[:5].copy()
        dko.tl.scan(few)
        dko.tl.double_ko(few, n_samples=10)
        dko.tl.virtual_ko(few, self.genes)

    def time_scan(self, cells: AnnData) -> None:
        """Knock out every gene."""
        dko.tl.scan(cells)

    def peakmem_scan(self, cells: AnnData) -> None:
        """Knock out every gene."""
        dko.tl.scan(cells)

    def time_double_ko(self, cells: AnnData) -> None:
        """Knock out 20,000 sampled pairs."""
        dko.tl.double_ko(cells, n_samples=20_000)

    def time_virtual_ko(self, cells: AnnData) -> None:
        """Knock out two genes by themselves, profiles included."""
        dko.tl.virtual_ko(cells, self.genes)
