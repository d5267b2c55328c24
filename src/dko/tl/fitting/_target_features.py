"""What an SCCVAE knows of a gene that is perturbed: its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from ..._core.messages import listed, shown
from ._gene_components import gene_components, influence_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

FeaturesOf: TypeAlias = str | pd.DataFrame


@dataclass(frozen=True)
class Features:
    """Features of all genes that can be perturbed.

    Attributes
    ----------
    kind
        Where they are from.
    names
        The genes.
    values
        Genes x features, float32.
    """

    kind: str
    names: list[str]
    values: np.ndarray

    def position(self, genes: Sequence[str]) -> np.ndarray:
        """Return the row of each gene."""
        return pd.Index(self.names).get_indexer(list(genes))

    def columns(self, genes: Sequence[str]) -> np.ndarray:
        """Return which of the measured `genes` each of these is, -1 for those that are not measured."""
        return pd.Index(genes).get_indexer(self.names)


def target_features(
    features: FeaturesOf,
    control: sparse.csr_matrix,
    genes: list[str],
    targets: list[str],
    n_components: int,
    *,
    scaled: bool,
    rng: np.random.Generator,
) -> Features:
    """Return the features of genes.

    Parameters
    ----------
    features
        ``"influence"``: what a knockout of the gene would do to every other, as the first model has it from control
        cells. ``"pca"``: the co-expression of a gene with others in these. ``"onehot"``: nothing but which gene it is,
        for the targets that are trained on. A DataFrame with genes in the index.
    control
        Log-normalised control cells, over `genes`.
    targets
        Genes that are trained on.
    n_components
        Of ``"influence"`` and ``"pca"``.
    scaled
        Divide each component of ``"pca"`` by its standard deviation over genes.
    """
    if isinstance(features, pd.DataFrame):
        return Features("given", *_checked(features))
    if features == "onehot":
        return Features("onehot", list(targets), np.eye(len(targets), dtype=np.float32))
    if features == "influence":
        return Features(features, list(genes), influence_components(control, n_components, rng=rng))
    return Features("pca", list(genes), gene_components(control, n_components, scaled=scaled, rng=rng))


def check_features(features: FeaturesOf, n_components: int | None) -> None:
    """Refuse what are no features, or no number of them."""
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components={n_components} must be at least 1.")
    if isinstance(features, pd.DataFrame):
        _checked(features)
    elif not isinstance(features, str) or features not in {"influence", "pca", "onehot"}:
        raise ValueError(
            f"features={shown(features)} must be 'influence', 'pca', 'onehot' or a DataFrame with genes in its index."
        )


def _checked(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    names = [str(name) for name in table.index]
    if len(set(names)) < len(names):
        raise ValueError("The index of features=... names a gene more than once.")
    if words := [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]:
        raise ValueError(f"features=... has columns that hold no numbers: {listed(words)}; drop these.")
    values = table.to_numpy(dtype=np.float32)
    if not np.isfinite(values).all():
        bad = [name for name, row in zip(names, values, strict=True) if not np.isfinite(row).all()]
        raise ValueError(f"features=... has missing or infinite values for {listed(bad)}; drop these rows.")
    return names, values
