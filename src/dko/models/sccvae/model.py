"""The model of measured perturbations: several SCCVAEs whose predicted changes are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core import keys
from ..._core.messages import many, say
from ..._core.names import HELD_OUT
from ..base import AT_A_TIME, Frame, Knockout, Model, Sets, require
from ..fitting import Fit
from ..rows import View
from .config import PRESETS, Config, config_of

if TYPE_CHECKING:
    import torch
    from scipy import sparse

    from ..fitting import Schedule, TrainingCells
    from .ensemble import Ensemble
    from .sampler import Cells


class ScCvaeModel(Model):
    """Says what control cells look like with a perturbation; predictions of a cell share one draw of its posterior."""

    name = keys.SCCVAE
    title = "from measured perturbations"
    where = "control"
    doses = (-np.inf, np.inf)
    whole = ("node", "trained")
    may_lack = ("own",)
    tables = (keys.HISTORY, keys.PERTURBATIONS)
    # In control cells, whether they express the gene or not.
    scan = pair_impacts = None  # type: ignore[assignment]
    presets = PRESETS
    takes = ("devices",)
    by_rows = True
    # A decoder takes many genes, but its time grows with them.
    most_genes = (6_000, 5_000)

    @classmethod
    def fit(
        cls,
        cells: TrainingCells,
        config: Config,
        schedule: Schedule,
        *,
        device: torch.device,
        rngs: Sequence[np.random.Generator],
    ) -> Fit:
        """Describe the genes that can be perturbed, train the members, and calibrate the strength of unseen ones."""
        from .fit import fit_members, with_strength
        from .quality import agreement
        from .targets import Targets, features_of, graph_of

        for_features, _, for_training, for_validation = rngs
        trained = {label: cells.perturbations[label].genes for label in cells.groups if label}
        genes = sorted({gene for of in trained.values() for gene in of})
        control = View(cells.values, cells.rows(keys.TRAIN, keys.VALIDATION, group=""))
        names, features = features_of(config, control, cells.genes, genes, for_features)
        mask, node = graph_of(config.graph, names, genes, config.n_latent)
        config, index = replace(config, n_latent=len(mask)), pd.Index(names)
        columns = pd.Index(cells.genes).get_indexer(index)
        targets = Targets(features, index.get_indexer(genes), columns, mask, node)
        screen = _screen(cells, trained, genes)
        parts = validations(cells, config.n_members, for_validation)
        ensemble, histories = fit_members(screen, parts, targets, config, schedule, device=device, rng=for_training)
        (for_strength,) = for_training.spawn(1)
        ensemble = with_strength(ensemble, screen, columns, for_strength)
        n_members = len(ensemble.members)
        n_held_out = sum(one.role == HELD_OUT for one in cells.perturbations.values())
        text = f"Fitted {many(n_members, 'model')} of {many(len(trained), 'perturbation')} of "
        text += f"{many(len(genes), 'gene')} on {schedule.where(device)}"
        say(text + _judged(*agreement(ensemble, screen, parts, columns[targets.trained]), n_held_out))
        alone = config.n_members == 1
        return Fit(
            ensemble.arrays,
            {"": histories[0]} if alone else {str(number): one for number, one in enumerate(histories, start=1)},
            "member",
            params={"config": config.plain, "n_members": n_members},
            targets=names,
            tables={keys.PERTURBATIONS: _table(cells, index, ensemble)},
        )

    @cached_property
    def ensemble(self) -> Ensemble:
        """The networks, on the device."""
        from .ensemble import Ensemble

        return Ensemble.from_arrays(config_of(self.frame.params["config"]), self.arrays).to(self.device)

    @property
    def n_random(self) -> int:  # type: ignore[override]
        """Numbers of the draw from the posterior of a cell, of all members."""
        return len(np.atleast_2d(self.arrays["strength"])) * config_of(self.frame.params["config"]).n_latent

    def knock_out(
        self, values: sparse.csr_matrix, sets: Sets, doses: Sequence[float], noise: np.ndarray, *, profiles: bool
    ) -> Iterator[Knockout]:
        """Perturb each set of genes with each dose: every cell gets this part of their shift."""
        import torch

        from .ensemble import changed

        before, rows = values.toarray(), np.arange(values.shape[0])
        cells, draw = (torch.from_numpy(array).to(self.device) for array in (before, noise))
        shifts = self._shifts(sets)
        # The change of the expression of the genes themselves, NaN where it is not known and at all others.
        of_own = np.full((len(sets), len(self.genes)), np.nan, dtype=np.float32)
        for row, genes in zip(of_own, sets, strict=True):
            measured = genes[self._column[genes] >= 0]
            row[self._column[measured]] = self.ensemble.own[measured]
        own = torch.from_numpy(of_own).to(cells)
        asked = list(product(range(len(sets)), doses))
        for first in range(0, len(asked), AT_A_TIME):
            some = asked[first : first + AT_A_TIME]
            numbers = [number for number, _ in some]
            dose = cells.new_tensor([dose for _, dose in some])[:, None]
            change = self.ensemble.changes(cells, shifts[numbers] * dose, draw)
            change = torch.where(own[numbers].isnan()[:, None], change, (own[numbers] * dose)[:, None])
            # Rounding errors would remain, as perturbations are decoded together.
            change[dose[:, 0] == 0] = 0
            after = changed(cells, change, self.ensemble.level).cpu().numpy()
            for asked_one, one in zip(some, after, strict=True):
                yield Knockout(*asked_one, rows, before, one)

    def latent(self, sets: Sets) -> np.ndarray:
        """Return the shifts of sets of genes after the graph (sets x latent)."""
        return self.ensemble.propagated(self._shifts(sets)).detach().cpu().numpy()

    def _shifts(self, sets: Sets) -> torch.Tensor:
        """Return the shift of each set, the sum of those of its genes, before the graph."""
        import torch

        return torch.stack([self.ensemble.shifts(genes).sum(dim=0) for genes in sets])

    @classmethod
    def check_frame(cls, frame: Frame) -> None:
        """Refuse parameters that a model of perturbations cannot do without."""
        for name in ("perturbation_key", "control", "features", "config"):
            require(name in frame.params, f"params lack {name!r}")
        require(frame.params["values"] != "counts" or "target_sum" in frame.params, "params lack 'target_sum'")
        require(bool(frame.targets), f"it lacks {keys.TARGETS!r}")

    @classmethod
    def shapes(cls, frame: Frame, arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape that each array has to have."""
        from .ensemble import SHARED, shapes_of

        try:
            config = config_of(frame.params["config"])
        except ValueError as error:
            raise ValueError(f"params['config']: {error}") from error
        for name, n_axes in (("features", (2,)), ("strength", (1, 2)), ("network.features", (2, 3))):
            require(name in arrays and len(arrays[name].shape) in n_axes, f"its weights lack {name!r}")
        n_features, n_trained = arrays["features"].shape[-1], arrays["network.features"].shape[-2]
        # Before a network is made of them.
        require(n_trained <= len(frame.targets), "it has more training targets than targets")
        require(len(config.hidden) + len(config.code_hidden) < len(arrays), "its weights lack those of hidden layers")
        shapes = shapes_of(config, len(frame.genes), len(frame.targets), n_trained, n_features)
        # Of one member, files of old have no axis of members.
        members = arrays["strength"].shape[:-1]
        n_members = members[0] if members else 1
        require(n_members > 0 and frame.params.get("n_members", n_members) == n_members, f"it has {n_members} members")
        return {name: shape if name in SHARED else (*members, *shape) for name, shape in shapes.items()}

    @classmethod
    def check(cls, frame: Frame, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse arrays that contradict each other."""
        trained, node, mask = arrays["trained"], arrays["node"], arrays["network.mask"]
        n_trained, n_latent = arrays["network.features"].shape[-2], mask.shape[-1]
        rows = np.flatnonzero(trained >= 0)
        require(
            bool((trained >= -1).all()) and np.array_equal(np.sort(trained[rows]), np.arange(n_trained)),
            "'trained' does not number the training targets",
        )
        named = node[node >= 0]
        require(
            bool((node >= -1).all()) and len(np.unique(named)) == len(named) and bool((named < n_latent).all()),
            "'node' does not number latent dimensions",
        )
        require(bool(np.isin(mask, (0, 1)).all()) and not np.tril(mask).any(), "'network.mask' is not an acyclic graph")
        # On-target effects are known of every measured gene, or of none.
        own, measured = arrays["own"], np.isin(frame.targets, frame.genes)
        right = np.where(measured, np.isfinite(own), np.isnan(own)).all(-1) | np.isnan(own).all(-1)
        require(bool(right.all()), "'own' is not known of the genes that are measured")


def _screen(cells: TrainingCells, trained: dict[str, list[str]], genes: list[str]) -> Cells:
    """Return the cells that train or validate as the networks take them."""
    from .sampler import Cells

    number = np.full(len(cells.split), -1)
    members = np.zeros((len(trained), len(genes)), dtype=bool)
    for row, (label, of) in enumerate(trained.items()):
        number[cells.groups[label]] = row
        members[row, np.searchsorted(genes, of)] = True
    return Cells(cells.values, number, members).of(cells.rows(keys.TRAIN, keys.VALIDATION))


def _judged(with_predicted: float, with_mean: float, n_held_out: int) -> str:
    """Say how good a fit is, beside what it takes no model for, and what that leaves open."""
    known = (
        f": in validation cells, their effects correlate at {with_predicted:.2f} with the predicted ones and at "
        f"{with_mean:.2f} with the mean effect of all (Pearson, 1 is best)"
    )
    others = f"Held out: {many(n_held_out, 'perturbation')}, to score with dko.tl.evaluate."
    if not n_held_out:
        others = "For those that it was not trained on, hold some out, holdout=[...], and run dko.tl.evaluate."
    return f"{known if np.isfinite(with_predicted) else ''}. {others}"


def validations(cells: TrainingCells, n_members: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the validation cells of each member: those of the split, and for others as many of each group in turn."""
    found: list[list[np.ndarray]] = [[] for _ in range(n_members)]
    for group in cells.groups:
        own, rest = (cells.rows(part, group=group) for part in (keys.VALIDATION, keys.TRAIN))
        order = np.concatenate([own, rng.permutation(rest)])
        for member, parts in enumerate(found):
            parts.append(np.take(order, np.arange(len(own)) + member * len(own), mode="wrap"))
    return [np.concatenate(parts) for parts in found]


def _table(cells: TrainingCells, index: pd.Index, ensemble: Ensemble) -> pd.DataFrame:
    """Return what became of every perturbation."""
    table = pd.DataFrame(
        [(label, one.n_cells, one.role) for label, one in cells.perturbations.items()],
        columns=["perturbation", "n_cells", "role"],
    )
    genes = [index.get_indexer(one.genes) for one in cells.perturbations.values()]
    # The root mean square over the members.
    root = len(ensemble.members) ** 0.5
    lengths = [float(ensemble.shifts(at).sum(dim=0).norm()) / root if at.min() >= 0 else np.nan for at in genes]
    return table.assign(strength=np.array(lengths, dtype=np.float32))
