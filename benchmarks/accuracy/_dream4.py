"""The gold-standard network of DREAM4 (100 genes), with cells simulated from it.

DREAM4 has no single cells: it has the network, without signs, and one noisy steady state per knockout, in which all
genes are present. So signs are those of the changes that its knockouts show at each edge (down: activating), weights
are drawn, uniform in 0.5 to 2, every gene gets a basal production (a repression of itself of weight 1: most genes have
no activator and would die out), and cells are simulated as those of depth 2,000 are. Predicted effects are held against
the truth of these cells, against the edges of the gold standard, and against DREAM4's own knockouts, which other
kinetics made; the true effects of the simulation, in the table too, say how much of the latter two can be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import dko

from ..inputs import DATA
from ._models import models
from ._row import Row, effects, rows
from ._simulated import DEEP, N_NETWORKS, SETTINGS, against_truth
from ._truth import agreement, baselines, direct_targets, true_effects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._job import Job

NAME = "DREAM4"


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for network in range(1 if quick else N_NETWORKS):
        yield measure, {"data": NAME, "network": network, "seeds": seeds, "quick": quick}
