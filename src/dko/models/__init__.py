"""Mathematics on arrays and tensors; nothing here knows AnnData. What a model is: :class:`Model`."""

from __future__ import annotations

from importlib import import_module

from .base import Frame, Knockout, Model
from .fitting import Config, Fit, Schedule, TrainingCells

__all__ = [
    "REGISTRY",
    "Config",
    "Fit",
    "Frame",
    "Knockout",
    "Model",
    "Schedule",
    "TrainingCells",
    "model_class",
    "register",
]

# Every model by name: a class, or where it is, so that torch is loaded only for models that need it.
REGISTRY: dict[str, str | type[Model]] = {
    "dko": "dko.models.dko.model:DkoModel",
    "sccvae": "dko.models.sccvae.model:ScCvaeModel",
}


def register(name: str, model: str | type[Model]) -> None:
    """Make a model known under a name, for ``dko.tl.fit(model=name)``; it is looked up again when a fit is read.

    `model` is a subclass of :class:`Model`, or where it is: ``"package.module:Class"``.

    Examples
    --------
    >>> class Ours(dko.models.model_class("dko")):
    ...     name, title = "ours", "as dko, with changes of our own"
    >>> dko.models.register("ours", Ours)
    >>> adata = dko.datasets.grn(200, 30, rng=0)
    >>> dko.tl.fit(adata, model="ours")
    >>> adata.uns["dko"]["params"]["model"]
    'ours'
    """
    REGISTRY[name] = model


def model_class(name: str) -> type[Model]:
    """Return the model of a name; ValueError: there is none."""
    if name not in REGISTRY:
        raise ValueError(f"No model {name!r}; there are {', '.join(map(repr, REGISTRY))}.")
    found = REGISTRY[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = REGISTRY[name] = getattr(import_module(module), attribute)
    return found
