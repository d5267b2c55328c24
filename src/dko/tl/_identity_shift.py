"""Where knockouts would move cells among the observed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import keys
from .._core.cells import read_basis, unwrap
from .._core.groups import group_of_cells
from .._core.knockouts import open_model, require_cells
from .._core.results import after_shift
from .._core.verb import verb
from .._core.write import writable, write, writing
from .._rng import generator
from ._cell_shifts import Found, Surroundings, Types, space_of

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Groups, Knockouts, MuData


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
        Principal components, of the unscaled log expression of the genes of the model in all cells.
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
    """
    data = writable(adata, copy, mod)
    target, rng = unwrap(data, mod), generator(rng)
    short, embedding = read_basis(target, basis)
    cell_types = None if groupby is None else group_of_cells(target, groupby)
    seed = int(rng.integers(2**31))
    cells = open_model(data, key, mod, groups, device=device)
    sets = cells.sets(genes)
    space = space_of(cells.log_values(), n_pcs, seed)
    around = Surroundings(space.positions, embedding, n_neighbors, rng)
    types = None if cell_types is None else Types(space, cell_types, str(groupby))
    found = Found(list(sets), target.obs_names, types, cell_types)
    columns = [cells.model.columns(numbers) for numbers in cells.numbers(list(sets.values()))]
    how: dict[str, Any] = {"rng": seed, "batch_size": batch_size, "description": "identity_shift"}
    for knockout in cells.predict(list(sets.values()), (dose,), **how):
        shifts = cells.model.change(knockout, columns[knockout.number]) @ space.components
        found.add(knockout.number, knockout.rows, shifts, around.moves(knockout.rows, shifts))
    require_cells(cells, sets, [bool(np.isfinite(lengths).any()) for lengths in found.lengths])
    if types is not None and not found.typed:
        raise ValueError(f"No chosen cell with a knocked-out gene has a value in obs[{groupby!r}]; leave groupby out.")
    params: dict[str, Any] = {"basis": short, "knockouts": list(sets), "dose": float(dose)}
    params |= {"n_neighbors": n_neighbors, "n_pcs": n_pcs, **({} if groupby is None else {"groupby": groupby})}
    arrays, content = found.arrays(key, short), {keys.PARAMS: params, keys.TABLE: found.table()}
    with writing():
        write(target, remove=after_shift(target, key), obsm=arrays, uns={keys.identity(key): content})
    return data if copy else None
