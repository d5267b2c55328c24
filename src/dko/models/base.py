"""What a model is: arrays of cells in, knockouts of their genes out. Nothing here knows AnnData.

A model is a subclass of :class:`Model` and one line, :func:`dko.models.register`. It has to say how it is fitted, and
what cells look like without some genes; all else has a default, which a faster one may replace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, cast

import numpy as np
from scipy import sparse

from .._settings import settings
from .fitting import Config, Fit, Presets, Schedule, TrainingCells

if TYPE_CHECKING:
    import torch

Sets = Sequence[np.ndarray]
"""Genes that are knocked out together, a set each, as numbers among :attr:`Model.targets`."""

# False discovery rate up to which a gene is said to change others.
FDR = 0.05
# Predictions of as many sets and doses are in memory at a time.
AT_A_TIME = 16


class Frame(NamedTuple):
    """What is kept of a model beside its arrays: parameters in plain types, and names of genes, groups and targets."""

    params: dict[str, Any]
    genes: list[str]
    groups: list[str]
    targets: list[str]


class Knockout(NamedTuple):
    """One set of genes, knocked out in some cells with one dose.

    Attributes
    ----------
    number, dose, rows
        Which set, which fraction of it is lost, and in which of the given cells.
    before, after
        These cells with and without the genes, cells x genes: relative profiles (CSR) or, of a model that reads
        log-normalised expression, this (dense). None if nobody has asked for them.
    impact, downstream
        Per cell, how far `after` is from `before`, of all genes and without those that are knocked out (float32). Where
        a model leaves them out, :meth:`Model.with_impacts` computes them.
    """

    number: int
    dose: float
    rows: np.ndarray
    before: Any = None
    after: Any = None
    impact: Any = None
    downstream: Any = None


class Model(ABC):
    """A fitted model: its frame, and all that is learned in plain arrays, which are saved and loaded as they are.

    Attributes
    ----------
    frame, arrays
        What it is made from; of a model per group of cells, each array has the groups along its first axis.
    genes, targets
        Names of the genes that it predicts, and of those that it can knock out.
    group, device
        Number of the group of cells that it is of, and where it computes.
    name, title, loss
        Under which it is registered, what it is in a few words, and what its losses are, on the axis of a plot.
    reads
        What it is given of cells, CSR float32, cells x genes: ``"log"``, log-normalised expression; ``"profiles"``,
        relative expression, each cell sums to 1; or ``"presence"``, ones at the genes that are expressed.
    where
        In which cells it predicts knockouts: ``"all"`` that express any of the genes, or ``"control"`` cells of a
        screen.
    doses
        Least and largest dose that it has a meaning for.
    n_random
        Standard normal numbers that it takes per cell; a cell gets the same ones whichever others are chosen.
    presets
        Options of a fit, and how it trains, by name; None is the default.
    takes
        Which of ``groupby``, ``init_from`` and ``devices`` a fit takes; of the second, :meth:`fit` gets the model as
        ``init``; the third, and ``num_nodes``, are in its schedule.
    by_rows
        Whether a fit takes cells that are read a few rows at a time, as more than fit into memory are.
    most_genes
        With more genes than the first number, a fit takes the second number of the most variable ones; None leaves this
        to ``dko.settings``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reads: Literal["log", "profiles", "presence"] = "log"
    loss: ClassVar[str] = "loss"
    where: ClassVar[Literal["all", "control"]] = "all"
    doses: ClassVar[tuple[float, float]] = (0.0, 1.0)
    n_random: int = 0
    presets: ClassVar[Presets] = {None: (Config(), Schedule(batch_size=64, learning_rate=1e-3, max_steps=1_000))}
    takes: ClassVar[tuple[str, ...]] = ()
    by_rows: ClassVar[bool] = False
    most_genes: ClassVar[tuple[int, int] | None] = None
    # Of its arrays: which count, which may be in half precision, in which NaN says that something is not known.
    whole: ClassVar[tuple[str, ...]] = ()
    half: ClassVar[tuple[str, ...]] = ()
    may_lack: ClassVar[tuple[str, ...]] = ()
    # Tables that each fit leaves beside them.
    tables: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frame: Frame, arrays: Mapping[str, np.ndarray]):
        self.frame, self.arrays, self.group, self.device = frame, arrays, 0, cast("Any", "cpu")
        self.genes, self.targets = frame.genes, frame.targets or frame.genes
        column = {gene: number for number, gene in enumerate(self.genes)}
        self._column = np.array([column.get(gene, -1) for gene in self.targets])

    # What a model has to say.

    @classmethod
    @abstractmethod
    def fit(
        cls,
        cells: TrainingCells,
        config: Any,
        schedule: Schedule,
        *,
        device: torch.device,
        rngs: Sequence[np.random.Generator],
    ) -> Fit:
        """Fit the model.

        `cells` are those of a screen where the model predicts in control cells, else unperturbed ones, on the scale of
        :attr:`reads`: log-normalised expression, or linear values. `config` and `schedule` are those of one of its
        :attr:`presets`, with what the user has changed; `rngs` four independent generators.
        """

    @abstractmethod
    def knock_out(
        self, values: sparse.csr_matrix, sets: Sets, doses: Sequence[float], noise: np.ndarray, *, profiles: bool
    ) -> Iterator[Knockout]:
        """Knock each set of genes out with each dose; a set that touches no cell may be left out.

        `values` are cells, as :attr:`reads` says; `noise` is standard normal, cells x :attr:`n_random`; `profiles` says
        whether ``before`` and ``after`` are wanted.
        """

    # What may be kept as it is.

    @property
    def log(self) -> bool:
        """Whether cells are log-normalised expression, and not relative profiles."""
        return self.reads == "log"

    @property
    def outdated(self) -> bool:
        """Whether an earlier version has fitted it in a way that is known to be wrong."""
        return False

    def part(self, number: int) -> Self:
        """Return the model of one of the groups of cells."""
        return self if number == self.group else self._with(number, self.device)

    def to(self, device: torch.device) -> Self:
        """Return the model on a device."""
        return self._with(self.group, device)

    def _with(self, group: int, device: Any) -> Self:
        made = type(self)(self.frame, self.arrays)
        made.group, made.device = group, device
        return made

    def before(self, values: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return cells before any knockout: as they are given or, of a model that predicts these too, as it does."""
        return values

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return the columns of targets, of those that it predicts as well."""
        found = self._column[genes]
        return found[found >= 0]

    def with_impacts(self, knockout: Knockout, genes: np.ndarray) -> Knockout:
        """Return a knockout of some targets with both impacts."""
        if knockout.impact is not None:
            return knockout
        from sklearn.preprocessing import normalize

        from ..metrics import bray_curtis

        others = np.ones(len(self.genes), dtype=bool)
        others[self.columns(genes)] = False
        values = [np.expm1(one) if self.log else one for one in (knockout.before, knockout.after)]
        found = []
        for some in (slice(None), others):
            before, after = (normalize(one[:, some], norm="l1") for one in values)
            found.append(np.nan_to_num(bray_curtis(before, after)).astype(np.float32))
        return knockout._replace(impact=found[0], downstream=found[1])

    def change(self, knockout: Knockout, without: np.ndarray) -> Any:
        """Return the change of log expression, cells x genes; columns `without` leave both profiles first, are 0."""
        if not self.log:
            from ..metrics import log_profiles

            return log_profiles(knockout.after, without=without) - log_profiles(knockout.before, without=without)
        change = knockout.after - knockout.before
        change[:, without] = 0
        return change

    def effect_sums(
        self, values: sparse.csr_matrix, sets: Sets, group: np.ndarray, n_groups: int, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of changes of log expression, groups (-1: none) x sets x genes, float64, and numbers of cells."""
        totals = np.zeros((n_groups, len(sets), len(self.genes)))
        n_cells = np.zeros((n_groups, len(sets)), dtype=np.int64)
        for knockout in self.knock_out(values, sets, (1.0,), noise, profiles=True):
            number, groups = knockout.number, group[knockout.rows]
            change = self.change(knockout, self.columns(sets[number])[: 0 if self.log else None])
            for one in np.unique(groups[groups >= 0]):
                rows = np.flatnonzero(groups == one)
                totals[one, number] += np.asarray(change[rows].sum(axis=0, dtype=np.float64)).ravel()
                n_cells[one, number] += len(rows)
        return totals, n_cells

    def scan(
        self,
        values: sparse.csr_matrix,
        wanted: np.ndarray,
        *,
        downstream: bool = True,
        advance: Callable[[int], object] = lambda n: None,
    ) -> np.ndarray:
        """Return the impact of each gene of the mask `wanted` in each cell that expresses it, alone.

        float32, one row, with `downstream` impacts two, x entries of `values`; NaN at the other genes. `advance` is
        called with the number of knockouts since the last call. None in the place of this function: the model does
        not predict it.
        """
        found = np.full((2, values.nnz), np.nan, dtype=np.float32)
        places = like(values, np.arange(1, values.nnz + 1)).tocsc()
        noise = np.zeros((values.shape[0], self.n_random), dtype=np.float32)
        sets = [np.array([number]) for number in np.flatnonzero(np.isin(self._column, np.flatnonzero(wanted)))]
        for knockout in self.knock_out(values, sets, (1.0,), noise, profiles=False):
            genes = sets[knockout.number]
            knockout = self.with_impacts(knockout, genes)
            place = places[:, self._column[genes]].toarray().ravel()[knockout.rows]
            there = place > 0
            found[:, place[there] - 1] = knockout.impact[there], knockout.downstream[there]
            advance(int(there.sum()))
        return found if downstream else found[:1]

    def pair_impacts(self, values: sparse.csr_matrix, row: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return both impacts of pairs of genes, together and each alone, in one cell each: n x 2 x 3, float32.

        ``row`` is the cell of each pair, ascending; ``position`` (n x 2) where its genes are among those of the cell.
        None in the place of this function: the model does not predict it.
        """
        genes = values.indices[values.indptr[row][:, None] + position]
        found, number_of = np.zeros((len(row), 2, 3), dtype=np.float32), np.argsort(self._column)
        for pair in np.unique(genes, axis=0):
            there = np.flatnonzero((genes == pair).all(axis=1))
            both = number_of[np.searchsorted(self._column, pair, sorter=number_of)]
            sets, noise = [both, both[:1], both[1:]], np.zeros((len(there), self.n_random), dtype=np.float32)
            for knockout in self.knock_out(values[row[there]], sets, (1.0,), noise, profiles=False):
                knockout = self.with_impacts(knockout, sets[knockout.number])
                found[there[knockout.rows], :, knockout.number] = np.column_stack(knockout[-2:])
        return found

    def p_values(self, profile: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
        """Test of each gene that its knockout changes others, in cells of a mean profile; None where it cannot say."""
        return None

    def latent(self, sets: Sets) -> np.ndarray | None:
        """Return by how much sets of genes shift cells in a latent space, sets x dimensions; None without one."""
        return None

    # What lies in a file is checked against this before a model is made of it.

    @classmethod  # noqa: B027
    def check_frame(cls, frame: Frame) -> None:
        """Raise a ValueError, a part of a sentence, where parameters or names cannot be of such a model."""

    @classmethod
    def shapes(cls, frame: Frame, arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape that each array has to have; `arrays` have at least a shape each."""
        return {name: tuple(array.shape) for name, array in arrays.items()}

    @classmethod  # noqa: B027
    def check(cls, frame: Frame, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValueError, a part of a sentence, where arrays of the right shapes contradict each other."""


def require(condition: bool, wrong: str) -> None:
    """Raise a ValueError that says in a part of a sentence what is wrong, for checks of what lies in files."""
    if not condition:
        raise ValueError(wrong)


def like(values: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """Return other entries in the place of those of a CSR matrix."""
    return sparse.csr_matrix((data, values.indices, values.indptr), shape=values.shape)


def pieces(n: int, n_bytes: int) -> Iterator[slice]:
    """Cut `n` rows so that as many as there are at a time, of `n_bytes` each, fit into memory."""
    step = max(1, settings.memory_budget // n_bytes)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))
