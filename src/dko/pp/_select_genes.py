"""Choice of the genes that a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.cells import Source, unwrap
from .._core.expression import read_expression
from .._core.messages import listed, require_known, say, unknown
from .._core.verb import verb
from .._settings import settings

if TYPE_CHECKING:
    from .._core.expression import Expression
    from .._typing import AnnData, MuData, Sequence

# Fewer named genes than this cannot describe the state of a cell; the most variable genes are added to them.
_FEW = 50

# The variability of a gene that fewer cells express is noise.
_MIN_CELLS = 10


@verb
def select_genes(
    adata: AnnData | MuData,
    genes: str | Sequence[str] | None = None,
    *,
    n_top_genes: int | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    mod: str = "rna",
) -> list[str]:
    """Choose the genes that a model takes, and say what was chosen.

    By default all genes that any cell expresses, up to ``dko.settings.max_genes`` (2,000); above that, the most
    variable ones. Named genes are taken as they are; fewer than 50 of them, of more genes than the limit, together with
    the most variable ones, because the model needs to know the state of the cell.

    Parameters
    ----------
    adata
        Expression, in `layer`, in ``raw`` or in X.
    genes
        Names that must be among the chosen.
    n_top_genes
        Number of genes to choose in all, the named ones included; overrides the rules above. Where fewer are expressed,
        these.
    layer, use_raw, log1p, mod
        As in :func:`dko.tl.fit`.

    Returns
    -------
    Names in the order of ``var_names``.

    Raises
    ------
    KeyError, ValueError
        A named gene is not in ``var_names``; a named gene is expressed by no cell.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> genes = dko.pp.select_genes(adata, ["CD74"], n_top_genes=100)
    >>> len(genes), "CD74" in genes
    (100, True)
    """
    target = unwrap(adata, mod)
    require_known(genes, target)
    return choose(read_expression(Source(target, layer, use_raw), log1p), genes, n_top_genes)


def choose(expression: Expression, genes: str | Sequence[str] | None, n_top_genes: int | None) -> list[str]:
    """Choose genes by the cells that may be seen; named ones may be expressed in others alone."""
    names, n_cells = expression.genes, expression.n_seen
    cells_of = dict(zip(names, expression.n_cells, strict=True))
    named = set() if genes is None else {genes} if isinstance(genes, str) else {str(gene) for gene in genes}
    if missing := sorted(named - set(cells_of)):
        raise KeyError(unknown("gene", missing, names, "var_names"))
    if silent := [gene for gene in names if gene in named and not cells_of[gene]]:
        raise ValueError(f"No cell expresses {listed(silent)}; leave out of genes=[...] what cannot be knocked out.")
    expressed = int((n_cells > 0).sum())
    limit = settings.max_genes
    if n_top_genes is None and named and (len(named) >= _FEW or expressed <= limit):
        say(f"Genes: the {len(named)} that were named.")
        return [name for name in names if name in named]
    n_wanted = max(limit if n_top_genes is None else n_top_genes, len(named))
    if expressed <= n_wanted:
        fewer = f", fewer than n_top_genes={n_top_genes}" if (n_top_genes or 0) > expressed else ""
        say(f"Genes: all {expressed:,} that are expressed, of {len(names):,}{fewer}.")
        return [name for name, n in zip(names, n_cells, strict=True) if n > 0 or name in named]
    chosen = named | set(_most_variable(expression, named, n_wanted - len(named)))
    say(
        f"Genes: the {n_wanted - len(named):,} most variable of {expressed:,} that are expressed"
        f"{f', and {len(named)} that were named' if named else ''}. Name genes to have them in, genes=[...]."
    )
    return [name for name in names if name in chosen]


def _most_variable(expression: Expression, named: set[str], n_wanted: int) -> list[str]:
    """Return the most variable genes beside the named ones; rare ones come last."""
    names, n_cells = expression.genes, expression.n_seen
    spread = np.nan_to_num(expression.dispersions(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    common = n_cells >= min(_MIN_CELLS, expression.seen.sum() / 10)
    best_first = np.lexsort((-spread, ~common))
    return [names[i] for i in best_first if n_cells[i] and names[i] not in named][:n_wanted]
