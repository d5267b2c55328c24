"""Where knockouts would move cells among the observed ones."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import chosen_rows, read_basis, some_cells, unwrap
from .._core.groups import grouping
from .._core.knockouts import open_model, require_cells
from .._core.messages import listed, say
from .._core.results import after_shift
from .._core.verb import verb
from .._core.write import writable, write, writing
from .._rng import generator
from ..models.base import pieces

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import RNG, AnnData, Groups, Knockouts, MuData, Predictor


@verb
def identity_shift(
    adata: AnnData | MuData,
    genes: Knockouts,
    *,
    basis: str = "umap",
    groupby: str | None = None,
    groups: Groups = None,
    dose: float = 1.0,
    n_neighbors: int = 30,
    n_pcs: int = 30,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Predict where knockouts would move cells on an embedding, and which cell types they would come closer to.

    What a knockout changes in the log expression of a cell, but for the knocked-out genes themselves, is added to the
    place of the cell among the principal components of all observed cells; the cells around its old and its new place
    say where these are on the embedding.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, of either model, with an embedding.
    genes, dose
        As in :func:`dko.tl.virtual_ko`.
    basis
        Embedding in ``obsm``, with or without its ``X_``; its first two dimensions.
    groupby
        ``obs`` column of cell types, to say which of them cells come closer to.
    groups
        Cells, as in :func:`dko.tl.virtual_ko`; all cells show where others are.
    n_neighbors
        Observed cells around a place that say where it is on the embedding.
    n_pcs
        Principal components, of the unscaled log expression of the genes of the model in all cells, or in 20,000 at
        random.
    %(fit)s
    rng
        Seed or generator of the components, of the draw from the posterior of each cell (SCCVAE), and, with more than
        20,000 cells, of those among which neighbours are sought.
    %(device)s
    %(written)s

    ``obsm[f"{key}_shift_{basis}_{label}"]``
        For each knockout (``/`` in labels as ``%2F``), by how much it moves each cell on the embedding: float32, cells
        x 2, in its units; NaN for cells that do not express the gene, or that are no control cells.
    ``obsm[f"{key}_identity_{label}"]``
        With `groupby`, a DataFrame, cells x types, float32: by how much the similarity to each type changes, the cosine
        of the cell and the centre of the type around the mean of all cells, -2 to 2.
    ``uns[f"{key}_identity"]``
        ``params``, and ``table``, a row per ``knockout`` and ``group`` of cells (``""`` without `groupby`): ``length``,
        the mean length of the shift among the components, and ``n_cells``; with `groupby`, a row also per ``type``, and
        ``change``, the mean change of the similarity to that type. :func:`dko.get.identity` reads it,
        :func:`dko.pl.shift` draws the shifts.

    %(errors)s
        no chosen cell expresses the gene.

    Notes
    -----
    On the embedding, a place is the mean of the observed cells around it, weighted by ``exp(-distance / width)``. Means
    lie inwards, and an embedding has no scale: compare knockouts by ``length`` and ``change``, and take directions from
    the picture.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.identity_shift(adata, "CD74", groupby="cell_type")
    >>> adata.obsm["dko_shift_umap_CD74"].shape
    (700, 2)
    >>> adata.obsm["dko_identity_CD74"].shape  # cells x types
    (700, 10)
    """
    data = writable(adata, copy, mod)
    target, rng = unwrap(data, mod), generator(rng)
    short, embedding = read_basis(target, basis)
    types, type_of = grouping(target, groupby)
    seed = int(rng.integers(2**31))
    cells = open_model(data, key, mod, groups, device=device)
    sets = cells.sets(genes)
    components, positions = _space(cells, n_pcs, seed)
    around = Surroundings(positions, embedding, n_neighbors, rng)
    centres = np.stack([positions[type_of == number].mean(axis=0, dtype=float) for number in range(len(types))])
    shape = (len(sets), target.n_obs)
    lengths: np.ndarray = np.full(shape, np.nan, dtype=np.float32)
    moves, changes = (np.full((*shape, n), np.nan, dtype=np.float32) for n in (2, len(types)))
    columns = [cells.model.columns(numbers) for numbers in cells.numbers(list(sets.values()))]
    how: dict[str, Any] = {"rng": seed, "batch_size": batch_size, "description": "identity_shift"}
    for knockout in cells.predict(list(sets.values()), (dose,), **how):
        number, rows = knockout.number, knockout.rows
        shifts = cells.model.change(knockout, columns[number]) @ components
        lengths[number, rows] = np.linalg.norm(shifts, axis=1)
        moves[number, rows] = around.moves(rows, shifts)
        if groupby is not None:
            changes[number, rows] = similarity_change(positions[rows], shifts, centres)
    require_cells(cells, sets, np.isfinite(lengths).any(axis=1))
    table = _table(list(sets), types, type_of, lengths, changes)
    if table.empty:
        raise ValueError(f"No chosen cell with a knocked-out gene has a value in obs[{groupby!r}]; leave groupby out.")
    params: dict[str, Any] = {"basis": short, "knockouts": list(sets), "dose": float(dose)}
    params |= {"n_neighbors": n_neighbors, "n_pcs": n_pcs, **({} if groupby is None else {"groupby": groupby})}
    obsm: dict[str, Any] = {keys.shift(key, short, label): move for label, move in zip(sets, moves, strict=True)}
    if groupby is None:
        table = table.drop(columns=["type", "change"])
    else:
        names = [keys.column(name, target.obs_names) for name in types]
        for label, change in zip(sets, changes, strict=True):
            obsm[keys.cell_identity(key, label)] = pd.DataFrame(change, target.obs_names, names)
    with writing():
        uns = {keys.identity(key): {keys.PARAMS: params, keys.TABLE: table}}
        write(target, remove=after_shift(target, key), obsm=obsm, uns=uns)
    say(f"Moved cells without {listed(list(sets))}; see obsm[{next(iter(obsm))!r}] and uns[{keys.identity(key)!r}].")
    return data if copy else None


def _table(
    labels: list[str], types: list[str], type_of: np.ndarray, lengths: np.ndarray, changes: np.ndarray
) -> pd.DataFrame:
    """Return a row per knockout, type of cells, and type that they come closer to."""
    found: list[tuple[Any, ...]] = []
    for (knockout, label), (number, group) in product(enumerate(labels), enumerate(types)):
        rows = np.flatnonzero(np.isfinite(lengths[knockout]) & (type_of == number))
        if len(rows):
            length = lengths[knockout, rows].mean(dtype=float)
            means = changes[knockout, rows].mean(axis=0, dtype=float)
            found += [(label, group, name, mean, length, len(rows)) for name, mean in zip(types, means, strict=True)]
    return pd.DataFrame(found, columns=["knockout", "group", "type", "change", "length", "n_cells"])


def _space(cells: Predictor, n_pcs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the components, of at most 20,000 cells at random, and where all cells are on them."""
    chosen = some_cells(np.ones(cells.adata.n_obs, dtype=bool), generator(seed))
    values = chosen_rows(cells.log_blocks(), chosen)
    components, positions = space_of(values, n_pcs, seed)
    if chosen.all():
        return components, positions
    centre = np.asarray(values.mean(axis=0)).ravel() @ components
    return components, np.concatenate(
        [(block @ components).astype(np.float32) for _, block in cells.log_blocks()]
    ) - centre


def space_of(values: sparse.csr_matrix, n_pcs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first principal components of log expression, genes x components, and where cells are on them."""
    from sklearn.decomposition import PCA

    pca = PCA(min(n_pcs, *(size - 1 for size in values.shape)), svd_solver="arpack", random_state=seed)
    positions = pca.fit_transform(values.astype(np.float64))
    return pca.components_.T.astype(np.float32), positions.astype(np.float32)


def similarity_change(before: np.ndarray, shifts: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the change of the cosine of each cell with each centre, cells x centres."""
    from sklearn.metrics.pairwise import cosine_similarity

    before = before.astype(np.float64)
    return cosine_similarity(before + shifts, centres) - cosine_similarity(before, centres)


# Observed cells that neighbours are sought among: all, or so many at random.
_MOST = 20_000


class Surroundings:
    """The observed cells around any point of a space, and where they are on an embedding (see :func:`identity_shift`).

    A move is the difference of two means over the same cells, the neighbours of either point without the cell itself.
    Cells whose `embedding` is NaN are nobody's neighbours.
    """

    def __init__(self, positions: np.ndarray, embedding: np.ndarray, n_neighbors: int, rng: np.random.Generator):
        from sklearn.neighbors import NearestNeighbors

        placed = np.flatnonzero(np.isfinite(embedding).all(axis=1))
        if len(placed) < 2:
            raise ValueError("Fewer than two cells have a place on the embedding, so nothing can be said of moves.")
        self._observed = np.sort(rng.choice(placed, _MOST, replace=False)) if len(placed) > _MOST else placed
        self._positions, self._embedding = positions, embedding
        self._n = min(n_neighbors, len(self._observed) - 1)
        self._index = NearestNeighbors().fit(positions[self._observed])

    def moves(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return the moves on the embedding of cells that are shifted among the components, cells x 2, float32."""
        found = np.empty((len(rows), 2), dtype=np.float32)
        for part in pieces(len(rows), 16 * self._n * shifts.shape[1]):
            found[part] = self._moves(rows[part], shifts[part])
        return found

    def _moves(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        before = self._positions[rows]
        after = (before + shifts).astype(before.dtype)
        of_before, of_after = self._around(rows, before), self._around(rows, after)
        twice = (of_after[:, :, None] == of_before[:, None]).any(axis=2)
        around = np.concatenate([of_before, of_after], axis=1)
        positions, places = self._positions[around], self._embedding[around]
        distances = [np.linalg.norm(positions - points[:, None], axis=2).astype(float) for points in (before, after)]
        own = distances[0][:, : self._n]
        usual = own.mean(axis=1, keepdims=True)
        width = usual - own.min(axis=1, keepdims=True)
        # Where all neighbours are equally far, all weigh the same.
        width = np.where(width > 1e-6 * usual, width, np.inf)
        stands = []
        for far in distances:
            weights = np.exp((far.min(axis=1, keepdims=True) - far) / width)
            weights[:, self._n :][twice] = 0
            stands.append(np.einsum("ij,ijk->ik", weights / weights.sum(axis=1, keepdims=True), places))
        return stands[1] - stands[0]

    def _around(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the observed cells nearest to each point, without the cell that the point is of."""
        around = self._observed[self._index.kneighbors(points, self._n + 1, return_distance=False)]
        itself = around == rows[:, None]
        itself[~itself.any(axis=1), -1] = True
        return around[~itself].reshape(len(rows), self._n)
