"""From a fitted AnnData to the knockouts of its cells: each cell through the model of its group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._rng import generator, seed_of
from .._settings import settings
from . import keys
from .cells import profiles, unwrap
from .fitted import aligned_layer, gene_columns, presence_blocks, read_fitted, read_presence, require_assemblages
from .groups import group_values, models_of, name_in, select_cells
from .messages import listed, logger, progress_of, refuse_of_raw, require_genes, say, unknown
from .names import TRAINED, gene_sets, members, perturbations
from .scale import read_log_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from .._rng import RNG
    from ..models.knockout import AnyMap, Engine
    from ..models.sccvae import Ensemble
    from .fitted import Fitted
    from .groups import Groups
    from .names import Knockouts


class Part(NamedTuple):
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

    def parts(self, presence: sparse.csr_matrix, first: int = 0, cells: np.ndarray | None = None) -> Iterator[Part]:
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

    def _part(self, number: int, rows: np.ndarray, values: sparse.csr_matrix, entries: np.ndarray | slice) -> Part:
        return Part(self.fitted.effects(number), rows, profiles(values) if self.fitted.total else values, entries)


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
        from ..models.sccvae import config_of, ensemble_of

        return ensemble_of(config_of(self.fitted.params["config"]), self.fitted.weights).to(self.device)

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
