"""The model of unperturbed cells: maps of genes to genes, one per group of cells, and compiled knockouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd

from ..._core import keys
from ..base import AT_A_TIME, Frame, Knockout, Model, Sets, like, require
from .config import PRESETS

if TYPE_CHECKING:
    from types import ModuleType

    from scipy import sparse

    from ..fitting import Fit, Schedule, TrainingCells
    from ..knockout import AffineMap, AnyMap, FactorMap
    from .evidence import Null


# Arrays beside the map that predicts profiles.
_BESIDE = (*keys.TOTAL.values(), *keys.NULL.values(), keys.SIGNAL, keys.TOTAL_INTERCEPT, keys.VARIATION)


class DkoModel(Model):
    """A network that predicts profiles from the genes that are present and, with total effects, factors beside it."""

    name = keys.DKO
    title = "from unperturbed cells"
    loss = "loss (Bray-Curtis, 0 to 1)"
    whole = (keys.NULL_GENES,)
    half = (keys.TOTAL_INFLUENCE, keys.TOTAL_CORRELATION, keys.NULL_CHANGES)
    may_lack = (keys.VARIATION,)
    tables = (keys.HISTORY,)
    reads: Literal["log", "profiles", "presence"] = "presence"
    presets = PRESETS
    takes = ("groupby", "init_from", "devices")
    by_rows = True

    @classmethod
    def fit(cls, cells: TrainingCells, config: Any, schedule: Schedule, **how: Any) -> Fit:
        """Fit networks and total effects; see :func:`dko.models.dko.fit.fit`."""
        from .fit import fit

        return fit(cells, config, schedule, **how)

    def __init__(self, frame: Frame, arrays: Mapping[str, np.ndarray]):
        super().__init__(frame, arrays)
        self.reads = "profiles" if self.total else "presence"

    @property
    def engine(self) -> ModuleType:
        """What knocks out; it is loaded where something is computed."""
        from .. import knockout

        return knockout

    def _on_device(self, name: str) -> Callable[..., Any]:
        """Return a function of the engine: compiled on a CPU, in torch on any other device."""
        if str(self.device) == "cpu":
            return getattr(self.engine, name)
        from ..knockout import torch as twin

        return partial(getattr(twin, name), device=self.device)

    @property
    def total(self) -> bool:
        """Whether knockouts have total effects, which another map than that of the profiles holds."""
        return keys.TOTAL_INFLUENCE in self.arrays

    @property
    def outdated(self) -> bool:
        """Whether the effects are total ones as version 0.1.0 estimated them, many times too small."""
        return self.total and keys.TOTAL_INTERCEPT in self.arrays

    @cached_property
    def predicting(self) -> AffineMap:
        """The map that predicts profiles from the genes that are present."""
        own = {name: array[self.group] for name, array in self.arrays.items() if name not in _BESIDE}
        return self.engine.map_of(own)

    @cached_property
    def map(self) -> AnyMap:
        """The map that knockouts go through."""
        return self.engine.FactorMap(**self._own(keys.TOTAL)) if self.total else self.predicting

    @property
    def null(self) -> Null | None:
        """What knockouts of permuted genes seem to do, where effects are total."""
        from .evidence import Null

        return Null(**self._own(keys.NULL)) if keys.NULL_CHANGES in self.arrays else None

    def _own(self, places: Mapping[str, str]) -> dict[str, np.ndarray]:
        return {name: self.arrays[place][self.group] for name, place in places.items() if place in self.arrays}

    def reconstruct(self, values: sparse.csr_matrix) -> sparse.csr_matrix:
        """Predict the profiles of cells from the genes that are present, whatever knockouts start from."""
        return self.engine.predict(self.predicting, values)

    def before(self, values: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return profiles before any knockout: with total effects those observed, with direct ones predicted."""
        return self.engine.predict(self.map, values)

    def knock_out(
        self, values: sparse.csr_matrix, sets: Sets, doses: Sequence[float], noise: np.ndarray, *, profiles: bool
    ) -> Iterator[Knockout]:
        """Knock each set of genes out with each dose, in the cells that express any of them."""
        cells = self.engine.all_cells(self.map, values)
        before = like(values, cells.profile) if profiles else None
        step = AT_A_TIME if profiles else len(sets)
        for first in range(0, len(sets), step):
            some = pd.DataFrame(sets[first : first + step]).fillna(-1).to_numpy(dtype=int)
            row, number, removed = self.engine.find(values, some)
            order = np.argsort(number, kind="stable")
            found, starts = np.unique(number[order], return_index=True)
            for dose in doses if len(row) else ():
                after = None if before is None else np.tile(before.data, (len(some), 1))
                impacts = np.zeros((2, len(row)), dtype=np.float32)
                if dose > 0:  # at 0, rounding errors would remain
                    how = {"dose": dose, "after": after, "number": number}
                    impacts = self._on_device("knock_out")(self.map, cells, row, removed, **how)
                for one, places in zip(found, np.split(order, starts[1:]), strict=True):
                    pair = (None, None)
                    if before is not None and after is not None:
                        pair = (before[row[places]], like(values, after[one])[row[places]])
                    yield Knockout(first + int(one), dose, row[places], *pair, *impacts[:, places])

    def effect_sums(
        self, values: sparse.csr_matrix, sets: Sets, group: np.ndarray, n_groups: int, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums of the changes of log profiles over the cells of each group, and the numbers of cells."""
        if any(len(genes) > 1 for genes in sets):
            return super().effect_sums(values, sets, group, n_groups, noise)
        return self._on_device("effect_sums")(self.map, values, np.concatenate(sets), group, n_groups)

    def scan(
        self,
        values: sparse.csr_matrix,
        wanted: np.ndarray,
        *,
        downstream: bool = True,
        advance: Callable[[int], object] = lambda n: None,
    ) -> np.ndarray:
        """Return the impact of each gene of the mask `wanted` in each cell that expresses it, alone."""
        return self._on_device("scan")(self.map, values, wanted=wanted, downstream=downstream, advance=advance)

    def pair_impacts(self, values: sparse.csr_matrix, row: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return both impacts of pairs of genes, together and each alone, in one cell each."""
        part, row = values[row[0] : row[-1] + 1], row - row[0]
        entries = part.indptr[row][:, None] + position
        genes = np.zeros(part.shape[1], dtype=bool)
        genes[part.indices[entries]] = True
        both = self._on_device("knock_out")(self.map, self.engine.all_cells(self.map, part), row, position)
        singles = self.scan(part, genes)[:, entries]
        return np.concatenate([both[..., None], singles], axis=2).transpose(1, 0, 2)

    def pair_effects(
        self, values: sparse.csr_matrix, *of_pairs: np.ndarray | Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of effects and impacts of pairs and their genes, as :func:`dko.models.knockout.pair_effects`."""
        return self.engine.pair_effects(self.map, values, *of_pairs)

    def p_values(self, profile: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
        """Test the downstream impact of each gene against those of the permuted genes that the fit has kept, if any."""
        from .evidence import impacts, p_values

        if self.null is None:
            return None
        factors = cast("FactorMap", self.map)
        return p_values(impacts(factors.influence.T, profile) / factors.step, self.null, seen, profile)

    @classmethod
    def check_frame(cls, frame: Frame) -> None:
        """Refuse parameters that do not say on which scale the fit has read, and names of targets."""
        require(frame.params["values"] != "log1p" or "log_base" in frame.params, "params lack 'log_base'")
        require(not frame.targets, "it has targets, which only models of perturbations have")

    @classmethod
    def shapes(cls, frame: Frame, arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape that each array has to have."""
        n_models, n_genes, params = max(1, len(frame.groups)), len(frame.genes), frame.params
        sizes: dict[str, tuple[int, ...]] = {"intercept": (n_models, n_genes)}
        if "rank" in params or "incoming" in arrays:
            # Very many genes have factors without having been asked for.
            rank = params.get("rank") or (*arrays["incoming"].shape, 0)[1]
            sizes |= {"outgoing": (n_models, n_genes, rank), "incoming": (n_models, rank, n_genes)}
        else:
            sizes["influence"] = (n_models, n_genes, n_genes)
        if params.get("effects") == "total":
            drawn = arrays[keys.NULL_GENES].shape if keys.NULL_GENES in arrays else ()
            n_draws = drawn[-1] if drawn else 0
            newer = {
                keys.TOTAL_CORRELATION: (n_models, n_genes, n_genes),
                keys.TOTAL_STEP: (n_models, n_genes),
                keys.NULL_GENES: (n_models, n_draws),
                keys.NULL_CHANGES: (n_models, n_draws, n_genes),
            }
            if keys.TOTAL_INTERCEPT in arrays:  # of version 0.1.0, which had not all of these
                newer |= {keys.TOTAL_INTERCEPT: (n_models, n_genes), keys.VARIATION: (n_models,)}
                newer = {name: shape for name, shape in newer.items() if name in arrays}
            sizes |= {keys.TOTAL_INFLUENCE: (n_models, n_genes, n_genes), keys.SIGNAL: (n_genes,), **newer}
        return sizes

    @classmethod
    def check(cls, frame: Frame, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse total effects that cannot be right."""
        for correlation in arrays.get(keys.TOTAL_CORRELATION, ()):
            require(bool(abs(correlation).max() <= 1), f"{keys.TOTAL_CORRELATION!r} is not between -1 and 1")
        if keys.NULL_GENES in arrays:
            drawn = arrays[keys.NULL_GENES]
            within = bool(((drawn >= 0) & (drawn < len(frame.genes))).all())
            require(within, f"{keys.NULL_GENES!r} has genes that are not there")
        if keys.TOTAL_STEP in arrays:
            require(bool((arrays[keys.TOTAL_STEP] > 0).all()), f"{keys.TOTAL_STEP!r} is not above 0")
