"""Knocking out pairs of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import require_unique
from .._core.knockouts import engine_on, open_task
from .._core.messages import progress_of, require_genes, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .knockouts._estimate import Estimate, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from .._core.fitted import Fitted
    from .._core.groups import Groups
    from .._core.knockouts import Task
    from .._rng import RNG

_N_SAMPLES = 50_000

# Pairs that are made between two movements of the progress bar; above how many it is told how long they take, from how
# many of them that is measured, and bytes of a row of the table.
_PIECE, _LONG, _TIMED, _ROW = 2**18, 10**6, 2_000, 36


@verb
def double_ko(
    adata: AnnData | MuData,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    n_samples: int | None = None,
    groups: Groups = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    device: str = "auto",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Knock out pairs of genes, and compare with what the two single knockouts add up to.

    Cell by cell, and without a null: which pairs interact over many cells, :func:`dko.tl.interactions` tells.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, or another with the same genes, in any order.
    pairs
        Pairs of genes; each is knocked out in every cell that expresses both. Without pairs, all pairs of genes that
        a cell expresses are candidates, and `n_samples` of them are drawn.
    n_samples
        Number of distinct (pair, cell) to draw at random among the candidates. Default: 50,000 without `pairs` (as in
        the paper), all with `pairs`. Fewer are made where there are fewer.
    groups, key, mod, device, copy
        As in :func:`dko.tl.virtual_ko`.
    rng
        Seed or generator of the draw.
    %(progress)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[key]["pairs"]``, a DataFrame with a row per pair and cell:

    ``gene_a``, ``gene_b``, ``cell``
        Names (categories); the two genes sorted by name.
    ``impact``
        Bray-Curtis dissimilarity of the predicted profile without both genes and with them, float32.
    ``additive``
        Sum of the impacts of the two single knockouts in the same cell.
    ``interaction``
        ``impact - additive``; below 0 where the pair does less than its parts.
    ``downstream``, ``downstream_additive``, ``downstream_interaction``
        The same of the downstream impacts: of profiles without the genes that are knocked out, made to sum to 1 again.

    With total effects, those of a pair are of a regression on both genes at once: what co-expressed genes have in
    common counts once in ``impact`` and twice in ``additive``. With direct effects, ``impact`` compares the predictions
    with both genes and without either.

    Raises
    ------
    KeyError
        No fit; a gene or group that is not there.
    ValueError
        A pair of one gene; no cell that expresses both genes of any pair.
    """
    data = writable(adata, copy, mod)
    task = open_task(data, key, mod, groups)
    target = task.adata
    require_unique(target.obs_names, "obs_names")
    wanted = None if pairs is None else _pair_columns(pairs, task.fitted, target)
    if n_samples is None and wanted is None:
        n_samples = _N_SAMPLES
    cell, position = _candidates(task.presence, task.cells, wanted, n_samples, generator(rng))
    if not len(cell):
        raise ValueError("No cell that has a model expresses both genes of any pair, so there is nothing to knock out.")
    drawn = np.zeros(target.n_obs, dtype=bool)
    drawn[cell] = True
    table = _table(task, cell, position, _impacts(task, drawn, cell, position, device))
    write(target, uns={key: lambda model: {**model, keys.PAIRS: table}})
    say(f"Knocked out {len(table):,} pairs of genes in {int(drawn.sum()):,} cells.")
    return data if copy else None


def _pair_columns(pairs: Sequence[tuple[str, str]], fitted: Fitted, adata: AnnData) -> np.ndarray:
    """Return the distinct pairs as columns of the model, shape (pairs, 2)."""
    wrong = [pair for pair in pairs if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]]
    if wrong or not len(pairs):
        raise ValueError(f"pairs must hold tuples of two different genes, got {repr(wrong[0]) if wrong else 'none'}.")
    require_genes(list(dict.fromkeys(gene for pair in pairs for gene in pair)), fitted.genes, adata)
    position = {gene: i for i, gene in enumerate(fitted.genes)}
    columns = np.array([[position[gene] for gene in pair] for pair in pairs])
    return np.unique(np.sort(columns, axis=1), axis=0)


def _candidates(
    presence: sparse.csr_matrix,
    usable: np.ndarray,
    wanted: np.ndarray | None,
    n_samples: int | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of cells, ascending, and the two positions among their present genes, shape (n, 2)."""
    if wanted is None:
        n_present = np.where(usable, np.diff(presence.indptr), 0).astype(np.int64)
        ends = np.cumsum(n_present * (n_present - 1) // 2)
        drawn = _draw(int(ends[-1]), n_samples, rng)
        cell = np.searchsorted(ends, drawn, side="right")
        return cell, _unrank(drawn - np.concatenate([[0], ends])[cell], n_present[cell])
    from ..models.knockout import find

    cell, _, position = find(presence[usable], wanted, whole=True)
    drawn = _draw(len(cell), n_samples, rng)
    return np.flatnonzero(usable)[cell[drawn]], position[drawn]


def _draw(n: int, n_samples: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct numbers below `n`, ascending; all of them where fewer than `n_samples` exist."""
    if n_samples is not None and n_samples < 1:
        raise ValueError(f"n_samples={n_samples} must be at least 1.")
    if n_samples is None or n_samples >= n:
        return np.arange(n)
    return np.sort(rng.choice(n, size=n_samples, replace=False, shuffle=False))


def _unrank(number: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the pair (i < j < n) that has a number, counted (0, 1), (0, 2), ..., (1, 2), ..."""
    from_end = n * (n - 1) // 2 - 1 - number
    # Floats hold such numbers exactly up to 2^53, that is for cells of up to 47 million present genes.
    k = ((np.sqrt(8.0 * from_end + 1) - 1) / 2).astype(np.int64)
    return np.stack([n - 2 - k, n - 1 - (from_end - k * (k + 1) // 2)], axis=1)


def _impacts(task: Task, drawn: np.ndarray, cell: np.ndarray, position: np.ndarray, device: str) -> np.ndarray:
    """Return the impacts, and downstream impacts, of each pair, its first and its second gene, shape (n, 2, 3)."""
    engine, impacts = engine_on(device), np.empty((len(cell), 2, 3), dtype=np.float32)
    models = list(task.parts(task.presence, cells=drawn))

    def knock_out(number: int, some: np.ndarray) -> np.ndarray:
        """Return the impacts of some pairs in cells of one of the models."""
        affine, rows, presence, _ = models[number]
        row, pair = np.searchsorted(rows, cell[some]), position[some]
        part, row = presence[row[0] : row[-1] + 1], row - row[0]
        entries = part.indptr[row][:, None] + pair
        genes = np.zeros(part.shape[1], dtype=bool)
        genes[part.indices[entries]] = True
        both = engine.knock_out(affine, part, row, pair, downstream=True)
        singles = engine.scan(affine, part, wanted=genes, downstream=True)[:, entries]
        return np.concatenate([both[..., None], singles], axis=2).transpose(1, 0, 2)

    pieces = []
    for number, (_, rows, *_) in enumerate(models):
        there = np.flatnonzero(np.isin(cell, rows))
        pieces += [(number, there[start : start + _PIECE]) for start in range(0, len(there), _PIECE)]
    if len(cell) > _LONG:
        number, some = pieces[0]
        seconds = time_of(lambda n: knock_out(number, some[:n]), len(some[:_TIMED]), len(cell))
        Estimate(len(cell), int(drawn.sum()), seconds, _ROW * len(cell)).tell("double knockouts")
    with progress_of(len(cell), description="double_ko", unit="pair") as advance:
        for number, some in pieces:
            impacts[some] = knock_out(number, some)
            advance(len(some))
    return impacts


def _table(task: Task, cell: np.ndarray, position: np.ndarray, impact: np.ndarray) -> pd.DataFrame:
    presence = task.presence
    genes = np.asarray(task.fitted.genes, dtype=object)
    names = np.sort(genes[presence.indices[presence.indptr[cell][:, None] + position]].astype(str), axis=1)
    additive = impact[..., 1] + impact[..., 2]
    interaction = impact[..., 0] - additive
    cells, number = np.unique(cell, return_inverse=True)
    return pd.DataFrame(
        {
            "gene_a": pd.Categorical(names[:, 0].astype(object)),
            "gene_b": pd.Categorical(names[:, 1].astype(object)),
            "cell": pd.Categorical.from_codes(number, categories=task.adata.obs_names[cells]),
            "impact": impact[:, 0, 0],
            "additive": additive[:, 0],
            "interaction": interaction[:, 0],
            "downstream": impact[:, 1, 0],
            "downstream_additive": additive[:, 1],
            "downstream_interaction": interaction[:, 1],
        }
    )
