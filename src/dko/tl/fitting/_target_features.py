"""What an SCCVAE knows of a gene that is perturbed: its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from ..._errors import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

FeaturesOf: TypeAlias = str | pd.DataFrame

# Control cells that components are had from, at most.
_MAX_CELLS = 5_000


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
        ``"pca"``: how a gene goes with others in control cells. ``"onehot"``: nothing but which gene it is, for the
        targets that are trained on. A DataFrame with genes in the index.
    control
        Log-normalised control cells, over `genes`.
    targets
        Genes that are trained on.
    n_components
        Of ``"pca"``.
    scaled
        Divide each component by its standard deviation over genes.
    """
    if isinstance(features, pd.DataFrame):
        return Features("given", *_checked(features))
    if features == "onehot":
        return Features("onehot", list(targets), np.eye(len(targets), dtype=np.float32))
    return Features("pca", list(genes), gene_components(control, n_components, scaled=scaled, rng=rng))


def gene_components(
    control: sparse.csr_matrix, n_components: int, *, scaled: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return the scores of genes in principal components over control cells, genes x components, float32.

    Every gene is a sample and every control cell a feature, each gene centred; from at most 5,000 random cells.
    """
    from sklearn.decomposition import TruncatedSVD

    if control.shape[0] > _MAX_CELLS:
        control = control[np.sort(rng.choice(control.shape[0], _MAX_CELLS, replace=False))]
    n_components = max(1, min(n_components, control.shape[0] - 1, control.shape[1] - 1))
    # The scores of genes, centred over cells, are the loadings of the centred cells, times the singular values.
    centred = control.toarray() - np.asarray(control.mean(axis=0))
    svd = TruncatedSVD(n_components, random_state=int(rng.integers(2**31))).fit(centred)
    scores = svd.components_.T * svd.singular_values_
    if scaled:
        scores = scores / np.maximum(scores.std(axis=0), 1e-12)
    return np.ascontiguousarray(scores, dtype=np.float32)


def check_features(features: FeaturesOf, n_components: int | None) -> None:
    """Refuse what are no features, or no number of them."""
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components={n_components} must be at least 1.")
    if isinstance(features, pd.DataFrame):
        _checked(features)
    elif features not in {"pca", "onehot"}:
        raise ValueError(f"features={features!r} must be 'pca', 'onehot' or a DataFrame with genes in its index.")


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
