"""Knocking out pairs of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import require_unique
from .._core.knockouts import open_model
from .._core.messages import many, progress_of, require_genes, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import RNG, AnnData, Callable, Groups, MuData, Predictor, Sequence

_N_SAMPLES = 50_000
# Of both kinds of impact, what is kept of a pair.
_NUMBERS = ("impact", "additive", "interaction", "downstream", "downstream_additive", "downstream_interaction")
# Pairs that are made between two movements of the progress bar.
_PIECE = 2**18


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

    Cell by cell, and without a test; :func:`dko.tl.interactions` tests which pairs interact over many cells.

    Parameters
    ----------
    %(adata)s
    pairs
        Pairs of genes, each knocked out in every cell that expresses both. Default: any that a cell expresses.
    n_samples
        Number of distinct (pair, cell) to draw at random. Default: 50,000 without `pairs` (as in the paper), all with
        `pairs`. Fewer are made where there are fewer.
    %(groups)s
    %(fit)s
    %(rng)s
    %(compute)s
    %(written)s

    ``uns[key]["pairs"]``
        DataFrame, a row per pair and cell: ``gene_a``, ``gene_b``, ``cell`` (categories; genes sorted by name).
    ``impact``, ``additive``, ``interaction``
        Bray-Curtis dissimilarity of the predicted profile without both genes and with them, float32; sum of the impacts
        of the two single knockouts in the same cell; ``impact - additive``, below 0 where the pair does less than its
        parts.
    ``downstream``, ``downstream_additive``, ``downstream_interaction``
        The same of the downstream impacts: of profiles without the genes that are knocked out, made to sum to 1 again.

    With total effects, those of a pair are of a regression on both genes at once: what co-expressed genes have in
    common counts once in ``impact`` and twice in ``additive``. With direct effects, ``impact`` compares the predictions
    with both genes and without either.

    %(errors)s
        a pair of one gene; no cell that expresses both genes of any pair.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.double_ko(adata, [("CD79A", "CD79B")])
    >>> pairs = dko.get.pairs(adata)
    >>> len(pairs)  # cells that express both
    101
    """
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, groups, device=device, needs="pair_impacts")
    require_unique(cells.adata.obs_names, "obs_names")
    wanted = None if pairs is None else np.unique(np.sort(pair_columns(pairs, cells)), axis=0)
    if n_samples is None and wanted is None:
        n_samples = _N_SAMPLES
    drawn = _drawn(cells, wanted, n_samples, generator(rng))
    if not len(drawn):
        raise ValueError("No cell that has a model expresses both genes of any pair, so there is nothing to knock out.")
    table = _table(cells, *_knocked_out(cells, wanted, drawn))
    write(cells.adata, uns={key: lambda model: {**model, keys.PAIRS: table}})
    where = f"uns[{key!r}][{keys.PAIRS!r}]"
    say(f"Knocked out {many(len(table), 'pair')} of genes in {many(table['cell'].nunique(), 'cell')}; see {where}.")
    return data if copy else None


def pair_columns(pairs: Sequence[Any], cells: Predictor, must: str = "pairs must hold tuples") -> np.ndarray:
    """Return the distinct pairs as columns of the model, pairs x 2, the genes of each and the pairs sorted by name."""
    wrong = [pair for pair in pairs if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[0] == pair[1]]
    if wrong or not len(pairs):
        raise ValueError(f"{must} of two different genes, got {repr(wrong[0]) if wrong else 'none'}.")
    named = sorted({tuple(sorted(map(str, pair))) for pair in pairs})
    genes = [gene for pair in named for gene in pair]
    require_genes(list(dict.fromkeys(genes)), cells.model.genes, cells.adata)
    return pd.Index(cells.model.genes).get_indexer(genes).reshape(-1, 2)


def _drawn(cells: Predictor, wanted: np.ndarray | None, n_samples: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of pairs, ascending, among those of one cell after the other."""
    n = sum(_numbered(block.values, wanted)[0] for block in cells.read(None))
    if n_samples is not None and n_samples < n:  # of hundreds of millions, which are never listed
        return np.sort(rng.choice(n, size=n_samples, replace=False, shuffle=False))
    return np.arange(n)


def _numbered(values: sparse.csr_matrix, wanted: np.ndarray | None) -> tuple[int, Callable[[np.ndarray], Any]]:
    """Return how many pairs cells have, and what tells their rows, and two positions among present genes, by number."""
    from ..models.knockout import find

    if wanted is not None:
        found, _, positions = find(values, wanted, whole=True)
        return len(found), lambda number: (found[number], positions[number])
    n_present = np.diff(values.indptr).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(n_present * (n_present - 1) // 2)])

    def places(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row = np.searchsorted(ends, number, side="right") - 1
        return row, _unrank(number - ends[row], n_present[row])

    return int(ends[-1]), places


def _unrank(number: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the pair (i < j < n) that has a number, counted (0, 1), (0, 2), ..., (1, 2), ..."""
    from_end = n * (n - 1) // 2 - 1 - number
    # Floats hold such numbers exactly up to 2^53, that is for cells of up to 47 million present genes.
    k = ((np.sqrt(8.0 * from_end + 1) - 1) / 2).astype(np.int64)
    return np.stack([n - 2 - k, n - 1 - (from_end - k * (k + 1) // 2)], axis=1)


def _knocked_out(
    cells: Predictor, wanted: np.ndarray | None, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns (n, 2), and impacts and downstream impacts of each pair, its first and its second gene."""
    first, parts = 0, []
    with progress_of(len(drawn), description="double_ko", unit="pair") as advance:
        for block in cells.read(None):
            n, places = _numbered(block.values, wanted)
            row, position = places(drawn[slice(*np.searchsorted(drawn, [first, first + n]))] - first)
            first += n
            impacts = np.empty((len(row), 2, 3), dtype=np.float32)
            for model, there, values in block.parts(cells.model):
                of_model = np.flatnonzero(np.isin(row, there))
                for start in range(0, len(of_model), _PIECE):
                    some = of_model[start : start + _PIECE]
                    impacts[some] = model.pair_impacts(values, np.searchsorted(there, row[some]), position[some])
                    advance(len(some))
            columns = block.values.indices[block.values.indptr[row][:, None] + position]
            parts.append((block.rows[row], columns, impacts))
    rows, of_pairs, found = map(np.concatenate, zip(*parts, strict=True))
    return rows, of_pairs, found


def _table(cells: Predictor, rows: np.ndarray, columns: np.ndarray, impact: np.ndarray) -> pd.DataFrame:
    names = np.sort(np.asarray(cells.model.genes, dtype=object)[columns].astype(str), axis=1)
    additive = impact[..., 1] + impact[..., 2]
    numbers = np.stack([impact[..., 0], additive, impact[..., 0] - additive], axis=2).reshape(-1, len(_NUMBERS))
    used, number = np.unique(rows, return_inverse=True)
    labels = {
        "gene_a": pd.Categorical(names[:, 0].astype(object)),
        "gene_b": pd.Categorical(names[:, 1].astype(object)),
        "cell": pd.Categorical.from_codes(number, categories=cells.adata.obs_names[used]),
    }
    return pd.DataFrame({**labels, **dict(zip(_NUMBERS, numbers.T, strict=True))})
