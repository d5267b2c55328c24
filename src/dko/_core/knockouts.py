"""The one way from an AnnData to knockouts of its cells, whichever model was fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from .._compat import stored
from .._rng import generator, seed_of
from .._settings import settings
from ..models import Model
from ..models.base import AT_A_TIME
from . import keys
from .cells import profiles, unwrap
from .fitted import (
    NO_SIGNAL,
    aligned_layer,
    gene_columns,
    presence_blocks,
    read_fitted,
    read_presence,
    read_profiles,
    require_assemblages,
)
from .groups import group_values, models_of, name_in, select_cells
from .messages import listed, logger, progress_of, refuse_of_raw, require_genes, say, unknown
from .names import TRAINED, gene_sets, members, perturbations
from .scale import read_log_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from anndata import AnnData
    from mudata import MuData

    from .._rng import RNG
    from ..models import Knockout
    from ..models.knockout import AnyMap, Engine
    from ..models.sccvae import Ensemble
    from .fitted import Fitted
    from .groups import Groups
    from .names import Knockouts


class Block(NamedTuple):
    """Some cells in a row, as a model reads them.

    Attributes
    ----------
    first, stop
        Rows of the AnnData.
    rows
        Those of them that are predicted.
    values
        What the model reads of these, CSR float32, cells x genes of the model.
    """

    first: int
    stop: int
    rows: np.ndarray
    values: sparse.csr_matrix


class Part(NamedTuple):
    """Cells of a block that have one model: the model, which of the `rows` of the block, and what it reads of them."""

    model: Model
    there: np.ndarray
    values: sparse.csr_matrix


@dataclass(frozen=True)
class Predictor:
    """Cells of an AnnData, and the model that predicts their knockouts.

    Attributes
    ----------
    adata, fitted, model
        What was opened, what ``uns[key]`` holds, and the model that is made of it.
    columns
        Where the genes of the model are in ``var_names``.
    models
        Number of the model of each cell; -1 for cells that are not chosen, or that it does not predict.
    draws
        Number of each cell among all that it predicts: random numbers are the same whichever are chosen.
    """

    adata: AnnData
    fitted: Fitted
    model: Model
    columns: np.ndarray
    models: np.ndarray
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
    def values(self) -> sparse.csr_matrix:
        """What the model reads of these cells, as it says in ``reads``."""
        if self.model.log:
            return read_log_values(self.adata, self.fitted, self.rows)
        return _stacked([block.values for block in self.blocks(None)])

    @property
    def whole(self) -> Block:
        """All cells that are predicted as one block."""
        return Block(0, self.adata.n_obs, self.rows, self.values)

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
        part = replace(self, models=np.where(cells, self.models, -1))
        if "values" in vars(self):  # not read a second time
            vars(part)["values"] = self.values[cells[self.rows]]
        return part

    def log_values(self) -> sparse.csr_matrix:
        """Return the log expression of all cells as changes are measured in: of profiles, log1p(1e4 * profile)."""
        from ..metrics import log_profiles

        if self.model.log:
            return read_log_values(self.adata, self.fitted)
        return log_profiles(read_profiles(self.adata, self.fitted))

    @property
    def all_sets(self) -> dict[str, list[str]]:
        """All that the model was trained on or, of a model of unperturbed cells, each of its genes."""
        return self.trained or {gene: [gene] for gene in self.model.targets}

    def sets(self, genes: Knockouts) -> dict[str, list[str]]:
        """Return the genes of each knockout that a user has named, by its label; ``"A+B"`` and ``("B", "A")`` are one.

        Raises
        ------
        KeyError
            A gene that the model cannot knock out.
        ValueError
            No gene; the label of several is the name of another gene.
        """
        known = {*self.model.targets, *self.adata.var_names}
        named = [members(given[0], known) if len(given) == 1 else given for given in gene_sets(genes)]
        self._require(list(dict.fromkeys(gene for some in named for gene in some)))
        for some in named:
            if len(some) > 1 and keys.label(some) in self.adata.var_names:
                label = keys.label(some)
                raise ValueError(f"The label of {tuple(some)} is also the name of a gene, {label!r}; rename that gene.")
        return {keys.label(some): some for some in named}

    def _require(self, genes: list[str]) -> None:
        if not self.fitted.targets:
            return require_genes(genes, self.fitted.genes, self.adata)
        return require_targets(genes, self.fitted, self.adata)

    def numbers(self, sets: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the genes of each set as the model numbers its targets."""
        position = {gene: number for number, gene in enumerate(self.model.targets)}
        return [np.array([position[gene] for gene in genes]) for genes in sets]

    def blocks(self, n_rows: int | None) -> Iterator[Block]:
        """Yield the cells in blocks of `n_rows` cells, or of as many as fit into memory."""
        if n_rows is not None and n_rows < 1:
            raise ValueError(f"batch_size={n_rows} must be at least 1, the number of cells to compute at a time.")
        if self.model.log or "values" in vars(self):
            step = n_rows or self.adata.n_obs
            edges = [0, *self.rows[step::step], self.adata.n_obs]
            for number, (first, stop) in enumerate(pairwise(edges)):
                some = slice(number * step, (number + 1) * step)
                yield Block(first, stop, self.rows[some], self.values[some])
            return
        for first, block in presence_blocks(self.adata, self.fitted, n_rows):
            stop = first + block.shape[0]
            there = np.flatnonzero(self.cells[first:stop])
            values = block if len(there) == block.shape[0] else block[there]
            yield Block(first, stop, first + there, profiles(values) if self.model.reads == "profiles" else values)

    def parts(self, block: Block) -> Iterator[Part]:
        """Yield the cells of each model that a block has."""
        models = self.models[block.rows]
        for number in np.unique(models):
            there = np.flatnonzero(models == number)
            values = block.values if len(there) == len(models) else block.values[there]
            yield Part(self.model.part(int(number)), there, values)

    def before(self, function: str = "before") -> sparse.csr_matrix:
        """Return the cells before any knockout, or what another `function` of the model makes of them, as `rows`."""
        found, rows = [], []
        for block in self.blocks(None):
            for model, there, values in self.parts(block):
                found.append(getattr(model, function)(values))
                rows.append(block.rows[there])
        return _stacked(found)[np.argsort(np.concatenate(rows))]

    def layer(self, values: sparse.csr_matrix, rows: np.ndarray, n_rows: int) -> sparse.csr_matrix:
        """Return values of some cells, over the genes of the model, in a matrix like X; NaN stands for no entry."""
        kept = ~np.isnan(values.data)
        sizes = np.zeros(n_rows, dtype=np.int64)
        sizes[rows] = np.diff(np.concatenate([[0], np.cumsum(kept)])[values.indptr])
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        content = (values.data[kept], self.columns[values.indices[kept]], indptr)
        layer = stored(content, shape=(n_rows, self.adata.n_vars))
        layer.sort_indices()
        return layer

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

        With `mixture` a dose is the share of cells that lose the genes in full, the others stay as they are; a cell
        that loses them at one dose does so at every higher one. The random numbers of a cell are the same for all
        knockouts, and whichever other cells are chosen: differences are effects, not chance.
        """
        numbers, asked = self.numbers(sets), (1.0,) if mixture else tuple(float(dose) for dose in doses)
        for_noise, for_escape = self._streams(rng)
        escapes = for_escape.random(self.draws.max() + 1) if mixture else np.empty(0)
        n_asked = len(sets) * len(asked) if self.model.log or profiles else None
        for block, noise in self._drawn(batch_size, n_asked, for_noise, description):
            for model, there, values in self.parts(block):
                for found in model.knock_out(values, numbers, asked, noise[there], profiles=profiles):
                    rows = block.rows[there[found.rows]]
                    knockout = model.with_impacts(found, numbers[found.number])._replace(rows=rows)
                    if not mixture:
                        yield knockout
                        continue
                    for dose in doses:
                        yield _mixed(knockout, float(dose), escapes[self.draws[rows]] < dose)

    def effect_sums(
        self, sets: Sequence[Sequence[str]], group: np.ndarray, n_groups: int, rng: RNG = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums of changes of log expression over the cells of each group (-1: none), and their numbers.

        Groups x sets x genes, float64, and groups x sets.
        """
        numbers, some = self.numbers(sets), self.among(group >= 0)
        totals = np.zeros((n_groups, len(sets), len(self.model.genes)))
        n_cells = np.zeros((n_groups, len(sets)), dtype=np.int64)
        several = self.model.log or any(len(genes) > 1 for genes in sets)
        for_noise, _ = self._streams(rng)
        for block, noise in some._drawn(None, len(sets) if several else None, for_noise, "effects"):
            for model, there, values in some.parts(block):
                of_each = group[block.rows[there]]
                changes, n = model.effect_sums(values, numbers, of_each, n_groups, noise[there])
                totals += changes
                n_cells += n
        return totals, n_cells

    def _streams(self, rng: RNG) -> list[np.random.Generator]:
        """Return what the random numbers of the model, and which cells escape a mixture, are drawn with."""
        stream = generator(seed_of(rng))
        return stream.spawn(2) if self.model.n_random else [stream, stream]

    def _drawn(
        self, n_rows: int | None, n_asked: int | None, rng: np.random.Generator, description: str
    ) -> Iterator[tuple[Block, np.ndarray]]:
        """Yield blocks and the random numbers of their cells; `n_asked` predictions of each have to fit into memory."""
        if n_rows is None and n_asked is not None:
            n_rows = settings.memory_budget // (16 * len(self.model.genes) * (1 + min(n_asked, AT_A_TIME))) or 1
        n_drawn = 0
        with progress_of(len(self.rows), description=description, unit="cell") as advance:
            for block in self.blocks(n_rows):
                if not len(block.rows):
                    continue
                numbers = self.draws[block.rows]
                # Those of cells in between are drawn too, or the numbers would depend on who is chosen.
                size = (numbers[-1] + 1 - n_drawn, self.model.n_random)
                yield block, rng.standard_normal(size, dtype=np.float32)[numbers - n_drawn]
                n_drawn = numbers[-1] + 1
                advance(len(block.rows))


def _stacked(blocks: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    return sparse.csr_matrix(blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr"))


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

    Parameters
    ----------
    data, key, mod, groups
        As in :func:`dko.tl.virtual_ko`.
    groupby
        Column that names of groups are of, by default that of the fit.
    device
        Where to compute; None if nothing is.
    needs
        What of the model is used that not every one has.
    """
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    model = fitted.model
    if device is not None:
        from ..models._device import resolve_device

        model = model.to(resolve_device(device))
    require_ability(model, key, needs)
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


def require_ability(model: Model, key: str, needs: str) -> None:
    """Refuse a model that lacks a function which not every model has."""
    if getattr(model, needs, None) is None:
        raise ValueError(
            f"adata.uns[{key!r}] holds a model of kind {model.name!r}, which this is not for; it answers to "
            "dko.tl.virtual_ko, dose_response, identity_shift, perturbation_modules, evaluate, and dko.get.effects."
        )


def require_cells(predictor: Predictor, sets: dict[str, list[str]], touched: Sequence[bool] | np.ndarray) -> None:
    """Refuse knockouts that touch no cell; warn of genes of which the cells do not tell what they do."""
    if none := [label for label, some in zip(sets, touched, strict=True) if not some]:
        raise ValueError(f"No chosen cell that has a model expresses {listed(none)}, so there is nothing to knock out.")
    if predictor.fitted.signal is None:
        return
    rates = dict(zip(predictor.fitted.genes, predictor.fitted.signal, strict=True))
    named = dict.fromkeys(gene for genes in sets.values() for gene in genes)
    if silent := [gene for gene in named if rates[gene] > NO_SIGNAL]:
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


def require_targets(genes: Sequence[str], fitted: Fitted, adata: AnnData) -> None:
    """Refuse genes of which the model has no features."""
    known = set(fitted.targets)
    if missing := [gene for gene in dict.fromkeys(genes) if gene not in known]:
        refuse_of_raw(missing, adata)
        message = unknown("gene", missing, fitted.targets, "what this model can perturb")
        if message.endswith("?"):
            raise KeyError(message)
        how = "which it was trained on" if fitted.params["features"] == "onehot" else "that have features"
        raise KeyError(f"{message} It knows the {len(fitted.targets)} genes {how}; fit with features=... of others.")


# LEGACY until ranking, interactions and evaluation are converted


class OldPart(NamedTuple):
    """Cells that one model speaks about.

    Attributes
    ----------
    affine
        The map that knockouts go through.
    rows
        Which rows of what was cut into parts.
    presence
        What knockouts start from, CSR float32: ones at the present genes, or with a map of factors their observed
        relative profile.
    entries
        Which entries these are.
    """

    affine: AnyMap
    rows: np.ndarray
    presence: sparse.csr_matrix
    entries: np.ndarray | slice


@dataclass(frozen=True)
class Task:
    """Cells to knock out in, and the model that predicts them.

    Attributes
    ----------
    adata
        What was opened.
    fitted
        Its model.
    columns
        Where the genes of the model are in ``var_names``.
    models
        Number of the model of each chosen cell; -1 for cells that are not chosen, or have no model.
    """

    adata: AnnData
    fitted: Fitted
    columns: np.ndarray
    models: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """The chosen cells that have a model, as a mask."""
        return self.models >= 0

    @cached_property
    def presence(self) -> sparse.csr_matrix:
        """Which genes of the model are present in which cell, as `read_presence` has it; read when first asked for."""
        return read_presence(self.adata, self.fitted)

    def blocks(self, batch_size: int | None) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield `presence` in blocks of cells that fit into memory, or of `batch_size`, with the row of the first."""
        yield from presence_blocks(self.adata, self.fitted, batch_size)

    def layer(self, values: np.ndarray) -> sparse.csr_matrix:
        """Put one value per entry of `presence` (NaN: none) into a matrix like X."""
        return aligned_layer(values, self.presence, self.columns, self.adata.n_vars)

    def parts(self, presence: sparse.csr_matrix, first: int = 0, cells: np.ndarray | None = None) -> Iterator[OldPart]:
        """Yield, for each model, the rows of `presence` that it speaks about.

        `first` is the row of the AnnData that `presence` begins with; `cells`, a mask of its rows, leaves others out.
        """
        models = self.models[first : first + presence.shape[0]]
        if cells is not None:
            models = np.where(cells, models, -1)
        for number in np.unique(models[models >= 0]):
            rows = np.flatnonzero(models == number)
            if len(rows) == presence.shape[0]:
                yield self._part(number, rows, presence, slice(None))
                continue
            entries = np.flatnonzero(np.repeat(models == number, np.diff(presence.indptr)))
            yield self._part(number, rows, presence[rows], entries)

    def _part(self, number: int, rows: np.ndarray, values: sparse.csr_matrix, entries: np.ndarray | slice) -> OldPart:
        return OldPart(self.fitted.effects(number), rows, profiles(values) if self.fitted.total else values, entries)


def open_task(data: AnnData | MuData, key: str, mod: str, groups: Groups = None, *, groupby: str | None = None) -> Task:
    """Find the model of an AnnData or MuData, and the cells that a user has chosen.

    Names of groups are those of the column `groupby`, by default that of the fit.
    """
    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    require_assemblages(fitted)
    columns = gene_columns(adata, fitted)
    if fitted.outdated:
        logger.warning(
            "The model in adata.uns[%r] was fitted with version 0.1.0, whose effects are too small; run "
            "dko.tl.fit(adata, key_added=%r) again.",
            key,
            key,
        )
    chosen = select_cells(data, mod, groupby or fitted.params.get("groupby"), groups)
    return Task(adata, fitted, columns, models_of(adata, fitted, chosen))


def progress_blocks(task: Task, batch_size: int | None, description: str) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield the blocks of a task, and show how many cells are done."""
    with progress_of(task.adata.n_obs, description=description, unit="cell") as advance:
        for first, block in task.blocks(batch_size):
            yield first, block
            advance(block.shape[0])


def engine_on(device: str) -> Engine:
    """Return what knocks out on the device that a user has named."""
    from ..models._device import resolve_device
    from ..models.knockout import engine

    return engine(resolve_device(device))


@dataclass(frozen=True)
class Perturber:
    """Control cells, and the model that says what they look like with a perturbation.

    Attributes
    ----------
    adata
        What was opened.
    fitted
        What ``uns[key]`` holds.
    columns
        Where the genes of the model are in ``var_names``.
    rows
        The control cells, among the chosen ones.
    draws
        Number of each of these among all control cells, so that its random numbers are the same whichever are chosen.
    device
        Where to compute.
    """

    adata: AnnData
    fitted: Fitted
    columns: np.ndarray
    rows: np.ndarray
    draws: np.ndarray
    device: torch.device

    @cached_property
    def model(self) -> Ensemble:
        """The model, on its device."""
        from ..models.sccvae import Ensemble, config_of

        return Ensemble.from_arrays(config_of(self.fitted.params["config"]), self.fitted.weights).to(self.device)

    @cached_property
    def values(self) -> sparse.csr_matrix:
        """Log-normalised expression of the control cells over the genes of the model, CSR float32."""
        return read_log_values(self.adata, self.fitted, self.rows)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of every gene that can be perturbed."""
        return {gene: number for number, gene in enumerate(self.fitted.targets)}

    @property
    def trained(self) -> dict[str, list[str]]:
        """The genes of every perturbation that the model was trained on."""
        table = self.fitted.table(keys.PERTURBATIONS)
        known = set(self.fitted.targets)
        return {label: members(label, known) for label in table.loc[table["role"] == TRAINED, "perturbation"]}

    def among(self, cells: np.ndarray) -> Perturber:
        """Return the same for some of the control cells, as a mask over all cells."""
        kept = cells[self.rows]
        part = replace(self, rows=self.rows[kept], draws=self.draws[kept])
        # Neither is read a second time.
        part.__dict__.update(model=self.model, values=self.values[kept])
        return part

    def shifts(self, sets: Sequence[Sequence[str]]) -> torch.Tensor:
        """Return the shift of each set of genes, the sum of theirs: sets x latent, before the graph."""
        import torch

        require_targets([gene for genes in sets for gene in genes], self.fitted, self.adata)
        shifts = [self.model.shifts(np.array([self.numbers[gene] for gene in genes])).sum(dim=0) for genes in sets]
        return torch.stack(shifts)

    def perturbed(
        self, asked: Sequence[tuple[Sequence[str], float]], rng: RNG = 0, n_rows: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield, block by block, which of `rows` it is, these cells as observed, and with each perturbation.

        Cells x genes, and perturbations x cells x genes, float32: the predicted change is applied to the
        observed cell (:func:`dko.models.sccvae.changed`). The draw from the posterior of a cell is the same for all
        perturbations, and whichever other cells are chosen: differences are effects, not chance.

        Parameters
        ----------
        asked
            The genes of each perturbation and its dose, the part of their shift that every cell gets. The expression of
            the genes themselves changes as that of training targets does, by the same part.
        rng
            Decides the draw.
        n_rows
            Cells in a block; as many as fit into memory.
        """
        import torch

        from ..models.sccvae import changed

        sets, doses = zip(*asked, strict=True)
        own = torch.from_numpy(np.stack([dose * self._own(genes) for genes, dose in asked])).to(self.device)
        shifts = self.shifts(sets) * own.new_tensor(doses)[:, None]
        stream, n_drawn = generator(rng), 0
        for block in self._blocks(len(asked), n_rows):
            numbers = self.draws[block]
            # Those of the control cells in between are drawn too, or the draw would depend on who is chosen.
            noise = stream.standard_normal((numbers[-1] + 1 - n_drawn, shifts.shape[1]), dtype=np.float32)
            noise, n_drawn = noise[numbers - n_drawn], numbers[-1] + 1
            before = self.values[block].toarray()
            cells = torch.from_numpy(before).to(self.device)
            change = self.model.changes(cells, shifts, torch.from_numpy(noise).to(self.device))
            change = torch.where(own.isnan()[:, None], change, own[:, None])
            # Rounding errors would remain, as perturbations are decoded together.
            change[own.new_tensor(doses) == 0] = 0
            yield block, before, changed(cells, change, self.model.level).cpu().numpy()

    def _blocks(self, n: int, n_rows: int | None) -> Iterator[slice]:
        """Yield blocks of cells of which `n` predictions fit into memory, or of `n_rows` cells."""
        if n_rows is not None and n_rows < 1:
            raise ValueError(f"batch_size={n_rows} must be at least 1, the number of cells to compute at a time.")
        step = n_rows or self._room_for(n)
        for start in range(0, len(self.rows), step):
            yield slice(start, min(start + step, len(self.rows)))

    def _room_for(self, n: int) -> int:
        """Return for how many cells `n` predictions fit into memory."""
        # The change of one member, the sum so far, and two copies.
        return max(1, settings.memory_budget // (16 * len(self.fitted.genes) * (1 + n)))

    def doses(
        self,
        genes: Sequence[str],
        doses: Sequence[float] | np.ndarray,
        *,
        mixture: bool = False,
        rng: RNG = 0,
        n_rows: int | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield, block by block, rows of the AnnData, these control cells as observed, and at each dose.

        Cells x genes, and doses x cells x genes. Every cell gets the part `dose` of the shift of the genes; with
        `mixture`, this share of the cells gets all of it and the others stay as they are, and a cell that does at some
        dose does so at every higher one. Cells are encoded once for all doses.
        """
        for_noise, for_escape = _streams(rng)
        escapes = for_escape.random(self.draws[-1] + 1)[self.draws]
        asked = [(genes, 1.0)] if mixture else [(genes, float(dose)) for dose in doses]
        n_rows = self._room_for(len(doses)) if n_rows is None else n_rows
        for block, before, after in self.perturbed(asked, for_noise, n_rows):
            if mixture:
                affected = escapes[block] < np.asarray(doses)[:, None]
                after = np.where(affected[..., None], after, before)
            yield self.rows[block], before, after

    def pairs(
        self,
        genes: Sequence[str],
        dose: float = 1.0,
        *,
        mixture: bool = False,
        rng: RNG = 0,
        n_rows: int | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield, block by block, rows of the AnnData, these control cells as observed, and at one dose."""
        for rows, before, (after,) in self.doses(genes, [dose], mixture=mixture, rng=rng, n_rows=n_rows):
            yield rows, before, after

    def _own(self, genes: Sequence[str]) -> np.ndarray:
        """Return the change of the expression of the genes themselves, NaN where it is not known and at all others."""
        position = {gene: column for column, gene in enumerate(self.fitted.genes)}
        found = np.full(len(position), np.nan, dtype=np.float32)
        for gene in genes:
            if gene in position:
                found[position[gene]] = self.model.own[self.numbers[gene]]
        return found

    def mean_effects(self, sets: Sequence[Sequence[str]], rng: RNG = 0) -> np.ndarray:
        """Return the mean change of the control cells with each set of genes perturbed (sets x genes, float32)."""
        total, seed = np.zeros((len(sets), len(self.fitted.genes))), seed_of(rng)
        for first in range(0, len(sets), _SETS_AT_A_TIME):
            part = slice(first, first + _SETS_AT_A_TIME)
            asked = [(genes, 1.0) for genes in sets[part]]
            for _, before, after in self.perturbed(asked, _streams(seed)[0]):
                total[part] += (after - before).sum(axis=1, dtype=np.float64)
        return (total / len(self.rows)).astype(np.float32)


# With several sets of genes at a time, cells are encoded, and decoded without a shift, only once for these.
_SETS_AT_A_TIME = 16


def _streams(rng: RNG) -> list[np.random.Generator]:
    """Return the random numbers of the draw from the posterior, and of which cells escape."""
    return generator(rng).spawn(2)


def open_perturber(
    data: AnnData | MuData, key: str, mod: str, *, groups: Groups = None, device: str = "auto"
) -> Perturber:
    """Find the SCCVAE of an AnnData or MuData, and the control cells among the chosen ones."""
    from ..models._device import resolve_device

    adata = unwrap(data, mod)
    fitted = read_fitted(adata, key)
    if fitted.kind != keys.SCCVAE:
        raise ValueError(f"uns[{key!r}] holds a model of kind {fitted.kind!r}, and this needs one of 'sccvae'.")
    control = _control(adata, fitted)
    chosen = select_cells(data, mod, None, groups) & control
    if not chosen.any():
        raise ValueError("None of the chosen cells is a control cell, which perturbations are predicted in.")
    rows, draws = np.flatnonzero(chosen), np.cumsum(control)[chosen] - 1
    return Perturber(adata, fitted, gene_columns(adata, fitted), rows, draws, resolve_device(device))


def is_sccvae(data: AnnData | MuData, key: str, mod: str) -> bool:
    """Whether a key holds an SCCVAE."""
    return read_fitted(unwrap(data, mod), key).kind == keys.SCCVAE


def perturbed_sets(genes: Knockouts, perturber: Perturber) -> dict[str, list[str]]:
    """Return the genes of each perturbation by its label; ``"A+B"`` and ``("B", "A")`` are one."""
    known = set(perturber.fitted.targets)
    named = [members(given[0], known) if len(given) == 1 else given for given in gene_sets(genes)]
    require_targets([gene for some in named for gene in some], perturber.fitted, perturber.adata)
    return {keys.label(some): some for some in named}


def knockout_sets(genes: Knockouts, fitted: Sequence[str], adata: AnnData) -> dict[str, list[str]]:
    """Return the genes of each knockout by its label; every gene is checked to be part of the fit."""
    sets = gene_sets(genes)
    require_genes(list(dict.fromkeys(gene for some in sets for gene in some)), fitted, adata)
    by_label: dict[str, list[str]] = {}
    for some in sets:
        label = keys.label(some)
        if len(some) > 1 and label in adata.var_names:
            raise ValueError(f"The label of {tuple(some)} is also the name of a gene, {label!r}; rename that gene.")
        by_label[label] = some
    return by_label


def columns_of(sets: dict[str, list[str]], fitted: Sequence[str]) -> np.ndarray:
    """Return the model's columns of each knockout, shape (knockouts, most genes in one), padded with -1."""
    position = {gene: i for i, gene in enumerate(fitted)}
    columns = np.full((len(sets), max(map(len, sets.values()))), -1)
    for row, some in zip(columns, sets.values(), strict=True):
        row[: len(some)] = [position[gene] for gene in some]
    return columns
