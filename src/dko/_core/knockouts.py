"""The one way from an AnnData to knockouts of its cells, whichever model was fitted."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import sparse

from .._rng import generator, seed_of
from .._settings import settings
from ..models.base import AT_A_TIME, FDR
from ..models.rows import stacked
from . import keys
from .blocks import Block, Unread, chosen_of, effects_of, knocked_out
from .cells import unwrap
from .cluster import in_blocks, share_of
from .fitted import gene_columns, read_fitted
from .groups import group_values, models_of, name_in, select_cells
from .messages import listed, logger, progress_of, refuse_of_raw, require_genes, say, unknown
from .names import TRAINED, gene_sets, members, perturbations
from .process import ahead
from .reading import genes_read, read_blocks, taking
from .remote import is_remote
from .scale import source_of

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Callable, Fitted, Groups, Iterable, Iterator, Knockouts, MuData, Sequence
    from ..models import Knockout, Model
    from .cells import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Predictor:
    """Cells of an AnnData, and the model that predicts their knockouts."""

    adata: AnnData
    fitted: Fitted
    model: Model
    # Where the genes of the model are in var_names.
    columns: np.ndarray
    # Number of the model of each cell; -1 for cells that are not chosen, or that it does not predict.
    models: np.ndarray
    # Number of each cell among all that it predicts: random numbers are the same whichever are chosen.
    draws: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """The cells that are predicted, as a mask."""
        return self.models >= 0

    @cached_property
    def rows(self) -> np.ndarray:
        """The cells that are predicted, as rows of the AnnData."""
        return np.flatnonzero(self.cells)

    @cached_property
    def trained(self) -> dict[str, list[str]]:
        """Genes of every perturbation that the model was trained on, by label; none of a model of unperturbed cells."""
        if keys.PERTURBATIONS not in self.fitted.tables:
            return {}
        table = self.fitted.table(keys.PERTURBATIONS)
        known = set(self.model.targets)
        return {label: members(label, known) for label in table.loc[table["role"] == TRAINED, "perturbation"]}

    def among(self, cells: np.ndarray) -> Predictor:
        """Return the same for some of the cells, a mask over all."""
        if cells[self.rows].all():
            return self
        return replace(self, models=np.where(cells, self.models, -1))

    def log_blocks(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield the log expression of all cells as changes are measured in: of profiles, log1p(1e4 * profile)."""
        from ..metrics import log_profiles

        log = self.model.log
        for first, block in read_blocks(self.adata, self.fitted, "log" if log else "profiles"):
            yield first, block if log else log_profiles(block)

    def sets(self, genes: Knockouts) -> dict[str, list[str]]:
        """Return the genes of each named knockout by its label; KeyError: a gene that the model cannot knock out."""
        known = {*self.model.targets, *self.adata.var_names}
        named = [members(given[0], known) if len(given) == 1 else given for given in gene_sets(genes)]
        asked = list(dict.fromkeys(gene for some in named for gene in some))
        if self.fitted.targets:
            _require_targets(asked, self.fitted, self.adata)
        else:
            require_genes(asked, self.fitted.genes, self.adata)
        for some in named:
            if len(some) > 1 and (label := keys.label(some)) in self.adata.var_names:
                raise ValueError(f"The label of {tuple(some)} is also the name of a gene, {label!r}; rename that gene.")
        return {keys.label(some): some for some in named}

    def numbers(self, sets: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the genes of each set as the model numbers its targets."""
        position = {gene: number for number, gene in enumerate(self.model.targets)}
        return [np.array([position[gene] for gene in genes]) for genes in sets]

    @property
    def source(self) -> Source:
        """The matrix that the model reads."""
        return source_of(self.adata, self.fitted.params)

    def blocks(self, n_rows: int | None) -> Iterator[Block | Unread]:
        """Yield `n_rows` of the cells at a time, or as many as fit into memory; what workers read, unread."""
        of_model, n_obs = (self.adata, self.fitted, self.model.reads), self.adata.n_obs
        share = share_of(n_obs, self.adata.n_vars)
        n_rows = n_rows or share or n_obs
        if share and is_remote(self.source.matrix):
            # Where few of the cells are chosen, no worker reads all between them at once.
            edges = np.union1d(self._edges(0, n_obs, n_rows), np.arange(0, n_obs, n_rows * max(1, share // n_rows)))
            take = taking(*of_model)
            for piece in self.source.unread(genes_read(*of_model), edges.tolist()):
                rows = self._among(piece.rows.start, piece.rows.stop)
                yield Unread(piece, rows, self.models[rows], take)
            return
        for first, values in read_blocks(*of_model):
            for some in pairwise(self._edges(first, first + values.shape[0], n_rows)):
                rows = self._among(*some)
                yield Block(*some, rows, self.models[rows], chosen_of(values, first, rows))

    def read(self, n_rows: int | None) -> Iterator[Block]:
        """Yield the same blocks, all read here."""
        with self.source.refusing():
            for block in self.blocks(n_rows):
                yield block.read()

    @property
    def whole(self) -> Block:
        """All cells as one block, which have to fit into memory: some that were chosen at random, or a few."""
        values = stacked([block.values for block in self.read(None)])
        return Block(0, self.adata.n_obs, self.rows, self.models[self.rows], values)

    def _among(self, first: int, stop: int) -> np.ndarray:
        return first + np.flatnonzero(self.cells[first:stop])

    def _edges(self, first: int, stop: int, n_rows: int) -> list[int]:
        """Return where blocks of so many of the cells begin and end."""
        return [first, *self._among(first, stop)[n_rows::n_rows].tolist(), stop]

    def each(
        self, work: Callable[..., Iterable[T]], tasks: Iterable[tuple[Any, ...]], advance: Callable[[int], object]
    ) -> Iterator[T]:
        """Yield all that `work` finds in blocks of cells, as :func:`in_blocks` does; those on disk are read ahead."""
        on_disk = not isinstance(self.source.matrix, np.ndarray | sparse.spmatrix | sparse.sparray)
        with self.source.refusing(), closing(ahead(tasks)) if on_disk else nullcontext(tasks) as coming:
            yield from in_blocks(work, coming, advance)

    def before(self, function: str = "before") -> sparse.csr_matrix:
        """Return the cells before any knockout, or what another `function` of the model makes of them, as `rows`."""
        found = list(self.before_blocks(function))
        if not found:
            return sparse.csr_matrix((0, len(self.model.genes)), dtype=np.float32)
        return stacked([values for _, values in found])[np.argsort(np.concatenate([rows for rows, _ in found]))]

    def before_blocks(self, function: str = "before") -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        """Yield the same with their rows in the AnnData, as many at a time as fit into memory."""
        for block in self.read(None):
            for model, there, values in block.parts(self.model):
                yield block.rows[there], sparse.csr_matrix(getattr(model, function)(values))

    def predict(
        self,
        sets: Sequence[Sequence[str]],
        doses: Sequence[float] | np.ndarray = (1.0,),
        *,
        profiles: bool = True,
        mixture: bool = False,
        rng: RNG = 0,
        batch_size: int | None = None,
        description: str = "knockouts",
    ) -> Iterator[Knockout]:
        """Yield each knockout at each dose, block by block of cells, with rows of the AnnData.

        With `mixture` a dose is the share of cells that lose the genes in full. The random numbers of a cell are the
        same for all knockouts and doses, whichever other cells are chosen: differences are effects, not chance.
        """
        doses = [float(dose) for dose in doses]
        numbers, asked = self.numbers(sets), (1.0,) if mixture else tuple(doses)
        for_noise, for_escape = self._streams(rng)
        escapes = for_escape.random(self.draws.max() + 1) if mixture else np.empty(0)
        n_asked, total = len(sets) * len(asked), len(self.rows) * len(sets) * len(asked)
        tasks = self._drawn(batch_size, n_asked if self.model.log or profiles else None, for_noise)
        work = partial(knocked_out, self.model, numbers, asked, profiles)
        with progress_of(total, description=description, unit="cell") as advance:
            for knockout in self.each(work, tasks, advance):
                if mixture:
                    affected = escapes[self.draws[knockout.rows]]
                    yield from (_mixed(knockout, dose, affected < dose) for dose in doses)
                else:
                    yield knockout

    def effect_sums(
        self, sets: Sequence[Sequence[str]], group: np.ndarray, n_groups: int, rng: RNG = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of changes of log expression, groups (-1: none) x sets x genes, float64, and numbers of cells."""
        numbers, some = self.numbers(sets), self.among(group >= 0)
        totals = np.zeros((n_groups, len(sets), len(self.model.genes)))
        n_cells = np.zeros((n_groups, len(sets)), dtype=np.int64)
        several = self.model.log or any(len(genes) > 1 for genes in sets)
        for_noise, _ = self._streams(rng)
        work = partial(effects_of, self.model, numbers, n_groups)
        drawn = some._drawn(None, min(len(sets), AT_A_TIME) if several else None, for_noise)
        tasks = ((block, noise, group[block.rows]) for block, noise in drawn)
        with progress_of(len(some.rows), description="effects", unit="cell") as advance:
            for changes, n in some.each(work, tasks, advance):
                totals += changes
                n_cells += n
        return totals, n_cells

    def _streams(self, rng: RNG) -> list[np.random.Generator]:
        """Return what the random numbers of the model, and which cells escape a mixture, are drawn with."""
        stream = generator(seed_of(rng))
        return stream.spawn(2) if self.model.n_random else [stream, stream]

    def _drawn(
        self, n_rows: int | None, n_asked: int | None, rng: np.random.Generator
    ) -> Iterator[tuple[Block | Unread, np.ndarray]]:
        """Yield blocks and the random numbers of their cells; `n_asked` predictions of each have to fit into memory."""
        if n_rows is None and n_asked is not None:
            share = share_of(self.adata.n_obs, self.adata.n_vars)
            # A worker sends all that is asked of a block at once.
            n_held = n_asked if share else min(n_asked, AT_A_TIME)
            n_rows = settings.memory_budget // (16 * len(self.model.genes) * (1 + n_held)) or 1
            n_rows = min(n_rows, share or n_rows)
        n_drawn = 0
        for block in self.blocks(n_rows):
            if len(block.rows):
                numbers = self.draws[block.rows]
                # Those of cells in between are drawn too, or the numbers would depend on who is chosen.
                size = (numbers[-1] + 1 - n_drawn, self.model.n_random)
                yield block, rng.standard_normal(size, dtype=np.float32)[numbers - n_drawn]
                n_drawn = numbers[-1] + 1


def _mixed(knockout: Knockout, dose: float, affected: np.ndarray) -> Knockout:
    """Return a complete knockout of some of the cells, the others as they are without it."""
    found = knockout._replace(dose=dose, impact=knockout.impact * affected, downstream=knockout.downstream * affected)
    if knockout.after is None:
        return found
    if not sparse.issparse(knockout.after):
        return found._replace(after=np.where(affected[:, None], knockout.after, knockout.before))
    kept, lost = (sparse.diags_array(some.astype(np.float32)) for some in (~affected, affected))
    return found._replace(after=sparse.csr_matrix(kept @ knockout.before + lost @ knockout.after))


def open_model(
    data: AnnData | MuData,
    key: str,
    mod: str,
    groups: Groups = None,
    *,
    groupby: str | None = None,
    device: str | None = None,
    needs: str = "knock_out",
) -> Predictor:
    """Find the model of an AnnData or MuData, and the cells among the chosen ones that it predicts.

    Names of `groups` are of `groupby`, by default that of the fit; `needs` names what of the model is used that not
    every one has. Without a `device` nothing is computed.
    """
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    model = fitted.model
    if device is not None:
        from ..models._training import resolve_device

        model = model.to(resolve_device(device))
    if getattr(model, needs, None) is None:
        raise ValueError(
            f"adata.uns[{key!r}] holds a model of kind {model.name!r}, which this function does not support; use "
            "dko.tl.virtual_ko, dko.tl.dose_response, dko.tl.identity_shift, dko.tl.perturbation_modules, "
            "dko.tl.evaluate or dko.get.effects."
        )
    columns = gene_columns(adata, fitted)
    if model.outdated:
        logger.warning(
            "The model in adata.uns[%r] was fitted with version 0.1.0, whose effects are too small; run "
            "dko.tl.fit(adata, key_added=%r) again.",
            key,
            key,
        )
    usable = _control(adata, fitted) if model.where == "control" else np.ones(adata.n_obs, dtype=bool)
    chosen = select_cells(data, mod, groupby or fitted.params.get("groupby"), groups) & usable
    if model.where == "control" and not chosen.any():
        raise ValueError("None of the chosen cells is a control cell, which perturbations are predicted in.")
    return Predictor(adata, fitted, model, columns, models_of(adata, fitted, chosen), np.cumsum(usable) - 1)


def require_cells(predictor: Predictor, sets: dict[str, list[str]], touched: Sequence[bool] | np.ndarray) -> None:
    """Refuse knockouts that touch no cell; warn of genes without evidence of an effect."""
    if none := [label for label, some in zip(sets, touched, strict=True) if not some]:
        raise ValueError(f"No chosen cell that has a model expresses {listed(none)}, so there is nothing to knock out.")
    if predictor.fitted.signal is None:
        return
    rates = dict(zip(predictor.fitted.genes, predictor.fitted.signal, strict=True))
    named = dict.fromkeys(gene for genes in sets.values() for gene in genes)
    if silent := [gene for gene in named if rates[gene] > FDR]:
        logger.warning(
            "There is no evidence in the cells of the fit that other genes depend on %s (FDR above 5 %%, var[%r]): "
            "what the knockout does to them may be noise.",
            listed(silent),
            keys.signal(predictor.fitted.key),
        )


def _control(adata: AnnData, fitted: Fitted) -> np.ndarray:
    column, control = fitted.params["perturbation_key"], fitted.params["control"]
    if column not in adata.obs:
        say(f"There is no obs[{column!r}], so all {adata.n_obs} cells are taken for unperturbed ones.")
        return np.ones(adata.n_obs, dtype=bool)
    known = group_values(adata, column, keep=[control]).dropna().unique()
    control = name_in(control, known)
    labels = perturbations(adata, column, control, {*fitted.genes, *fitted.targets})
    if not (labels == control).any():
        raise KeyError(
            f"No cell is {control!r}, the control of the fit, in obs[{column!r}], which has "
            f"{listed(sorted(known), 20) or 'missing values only'}; perturbations are predicted in control cells."
        )
    return (labels == control).to_numpy()


def _require_targets(genes: Sequence[str], fitted: Fitted, adata: AnnData) -> None:
    """Refuse genes of which the model has no features."""
    known = set(fitted.targets)
    if missing := [gene for gene in dict.fromkeys(genes) if gene not in known]:
        refuse_of_raw(missing, adata)
        message = unknown("gene", missing, fitted.targets, "what this model can perturb")
        if message.endswith("?"):
            raise KeyError(message)
        how = "which it was trained on" if fitted.params["features"] == "onehot" else "that have features"
        raise KeyError(f"{message} It knows the {len(fitted.targets)} genes {how}; fit with features=... of others.")
