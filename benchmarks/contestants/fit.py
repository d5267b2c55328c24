"""Fits, and how long they take to a given validation loss."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import dko

from .. import network
from .._measure import measure
from ..inputs import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def loop(inputs: str, losses: str, n_steps: int, seed: int) -> dict[str, Any]:
    """Train by the plain loop, on the split that ``dko.tl.fit`` makes with the same seed."""
    cells = read(inputs, "reference")
    dko.tl.fit(cells, max_steps=1, progress=False, rng=seed)
    held_out = (cells.obs["dko_split"] == "validation").to_numpy(copy=True)
    profiles = torch.from_numpy(cells.X.toarray() / cells.X.toarray().sum(1, keepdims=True))
    made: list[np.ndarray] = []

    def train(n_steps: int) -> None:
        _, history = network.train(
            profiles[~held_out], profiles[held_out], getattr(network, losses), n_steps=n_steps, seed=seed
        )
        made.append(history)

    figures: dict[str, Any] = dict(measure(lambda: train(n_steps), lambda: train(2)))
    history = made[-1]
    for name, target in (("final", history[-1, 0]), ("best", history[:, 0].min())):
        first = np.flatnonzero(history[:, 0] <= target)[0]
        figures |= {f"{name} loss": target, f"{name} wall": history[first, 1], f"{name} cpu": history[first, 2]}
    return {**figures, "steps": n_steps, "validation": np.flatnonzero(held_out).tolist()}


def ours(
    inputs: str, preset: str | None, seed: int, final: float, best: float, validation: list[int]
) -> dict[str, Any]:
    """Fit by ``dko.tl.fit``: as it is, and only as many steps as it takes to the losses of the loop."""
    cells = read(inputs, "reference")
    fit = partial(dko.tl.fit, cells, preset=preset, progress=False, rng=seed)
    figures: dict[str, Any] = dict(measure(fit, lambda: fit(max_steps=2)))
    if np.flatnonzero(cells.obs["dko_split"] == "validation").tolist() != validation:
        raise RuntimeError("The fit validates on other cells than the loop, so that their losses are not comparable.")
    history = dko.get.history(cells)
    figures |= {"loss": _loss(cells), "steps": int(history["step"].max())}
    for name, target in (("final", final), ("best", best)):
        steps = history.loc[history["validation_loss"] <= target, "step"]
        figures |= _reach(fit, cells, target, steps.tolist(), name)
    return figures


def screen(inputs: str, max_steps: int | None = None) -> dict[str, float]:
    """Fit the model of measured perturbations to a screen of counts."""
    cells = read(inputs, "screen")
    fit = partial(
        dko.tl.fit,
        model="sccvae",
        perturbation_key="perturbation",
        control="control",
        normalize=True,
        progress=False,
    )
    figures = measure(lambda: fit(cells, max_steps=max_steps), lambda: None)
    steps = dko.get.history(cells).groupby("member", observed=True)["step"].max()
    return {**figures, "steps": int(steps.sum()), "entries": cells.X.nnz / cells.n_obs}


def pbmc(inputs: str) -> dict[str, float]:
    """Fit PBMC 3k as a user does who says nothing: 2,000 variable genes, chosen on the way."""
    cells = read(inputs, "pbmc")
    figures = measure(
        lambda: dko.tl.fit(cells, progress=False), lambda: dko.tl.fit(cells.copy(), max_steps=2, progress=False)
    )
    steps = int(dko.get.history(cells)["step"].max())
    return {**figures, "genes": len(cells.uns["dko"]["genes"]), "steps": steps, "loss": _loss(cells)}


def shared(inputs: str, model: str, devices: int, seed: int, max_steps: int = 100) -> dict[str, float]:
    """Fit one of the models on some devices: processes, as all of them are this machine's CPU."""
    cells = read(inputs, "variable" if model == "dko" else "screen")
    # Features are made on one device, whatever their number.
    screen = {"perturbation_key": "perturbation", "control": "control", "normalize": True, "features": "onehot"}
    fit = partial(dko.tl.fit, cells, model=model, max_steps=max_steps, devices=devices, rng=seed, progress=False)
    figures = measure(partial(fit, **(screen | {"n_members": 1} if model == "sccvae" else {})))
    return {**figures, "loss": float(dko.get.history(cells)["validation_loss"].min())}


def many_genes(inputs: str, cells: str, n_genes: int, scan: bool, n_cells: int | None) -> dict[str, float]:
    """Fit so many genes, the most variable or all, and scan them where that is asked for."""
    adata = read(inputs, cells)[:n_cells].copy()

    def work() -> None:
        dko.tl.fit(adata, n_top_genes=n_genes, progress=False)
        if scan:
            dko.tl.scan(adata, progress=False)

    def warm_up() -> None:
        some = adata[:100].copy()
        dko.tl.fit(some, n_top_genes=30, effects="total", max_steps=2, progress=False)
        dko.tl.scan(some, progress=False)

    figures = measure(work, warm_up)
    steps = int(dko.get.history(adata)["step"].max())
    return {**figures, "genes": len(adata.uns["dko"]["genes"]), "steps": steps, "loss": _loss(adata)}


def _loss(cells: AnnData) -> float:
    """Mean Bray-Curtis dissimilarity of the validation cells, whatever the fit has minimised."""
    return float(cells.obs.loc[cells.obs["dko_split"] == "validation", "dko_fit_error"].mean())


def _reach(fit: Callable[..., object], cells: AnnData, target: float, steps: list[int], name: str) -> dict[str, Any]:
    """Time a whole fit of the fewest steps that reach a loss; nothing where none of them does.

    A shorter fit need not go the way of the longer one, so its own loss decides.
    """
    for step in steps:
        figures = measure(partial(fit, max_steps=step))
        if _loss(cells) <= target:
            return {f"{name} wall": figures["wall"], f"{name} cpu": figures["cpu"], f"{name} steps": step}
    return {}
