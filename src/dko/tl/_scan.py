"""Knocking out every gene in every cell."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._core import keys
from .._core.blocks import layers
from .._core.cells import unwrap
from .._core.knockouts import open_model
from .._core.messages import many, progress_of, require_genes, say
from .._core.results import after_scan
from .._core.verb import verb
from .._core.write import writable, write
from .._settings import settings
from ..io._files import check_blocks, stack, write_blocks
from ..io._kept import Kept, digest

if TYPE_CHECKING:
    from collections.abc import Generator

    from scipy import sparse

    from .._core.blocks import Block
    from .._typing import AnnData, Callable, Groups, Iterator, MuData, Path, Predictor, Sequence
    from ..models import Model


@verb
def scan(
    adata: AnnData | MuData,
    *,
    genes: str | Sequence[str] | None = None,
    groups: Groups = None,
    downstream: bool = True,
    out: str | Path | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Knock out every gene in every cell that expresses it, one at a time, and keep the impacts.

    Parameters
    ----------
    %(adata)s
    genes
        Genes to knock out; all genes of the fit by default.
    downstream
        Write the downstream impacts as well: what the knockout does to the other genes alone.
    out
        A ``.zarr`` or ``.h5ad`` to write the impacts to, block by block, instead of into ``layers``: for more than fit
        into memory. It is an AnnData with the impacts as X and the downstream impacts as
        ``layers[f"{key}_downstream"]``. What is there is replaced once the new one is complete; but not the file that
        these cells are read from, nor any if they are dask arrays. A scan that was stopped or killed goes on where it
        was when the same call is made again. To rank genes by it, let its values stand as layers:
        ``found = anndata.experimental.read_lazy(out)``, ``adata.layers["dko_impact"] = found.X`` and
        ``adata.layers["dko_downstream"] = found.layers["dko_downstream"]``.
    %(groups)s
    %(fit)s
    %(device)s
    %(written)s

    ``layers[f"{key}_impact"]``
        CSR float32 with an entry wherever a cell expresses a gene of the model, as in X: Bray-Curtis dissimilarity of
        the profile after and before that gene is knocked out. ``sc.pl.umap(adata, color=gene, layer="dko_impact")`` and
        ``sc.tl.rank_genes_groups(adata, groupby, layer="dko_impact")`` read it as it is. Not with `out`.
    ``layers[f"{key}_downstream"]``
        The same of both profiles without that gene, each made to sum to 1 again: 0 where nothing else changes, whatever
        the gene's own share. Not with `out`.
    ``var[f"{key}_impact_mean"]``, ``var[f"{key}_downstream_mean"]``, ``var[f"{key}_n_cells"]``
        Means over the scanned cells that express the gene, float32, NaN if not knocked out; number of these cells.

    %(errors)s
        no cell expresses any of the genes; more impacts than ``dko.settings.result_budget`` has room for without `out`.
    OSError
        What has the name of `out` cannot be replaced, or another scan is writing it; its folder is missing or full.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> adata.layers["dko_downstream"].shape
    (700, 765)
    >>> sc.pl.umap(adata, color="CD74", layer="dko_downstream")
    """
    if out is not None:
        check_blocks(out, unwrap(adata, mod))
    data = writable(adata, copy, mod)
    cells = open_model(data, key, mod, groups, device=device, needs="scan")
    wanted = np.ones(len(cells.fitted.genes), dtype=bool)
    if genes is not None:
        chosen = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
        require_genes(chosen, cells.fitted.genes, cells.adata)
        wanted = np.isin(cells.fitted.genes, chosen)
    names = [keys.impact(key), keys.downstream(key)] if downstream else [keys.impact(key)]
    # Of each gene the number of cells and the sum of each kind of impact; filled while the blocks go by.
    sums = np.zeros((1 + len(names), cells.adata.n_vars))
    kept = None if out is None else Kept(out, _made_from(cells, wanted, names))
    blocks, new = _blocks(cells, wanted, batch_size, sums, kept), {}
    if out is None or kept is None:
        of_each = [list(of_one) for of_one in zip(*blocks, strict=True)]
        new = {name: stack(of_one) for name, of_one in zip(names, of_each, strict=True)}
    else:
        # Closed, or workers would go on where the disk is full for as long as someone holds the error.
        with kept.keeping(), closing(blocks):
            write_blocks(out, blocks, names[1:], cells.adata.obs, cells.adata.var, lambda: _columns(key, *sums))
    # Without new impacts here, those of an earlier scan would stand beside the means of this one.
    write(cells.adata, remove=after_scan(key), layers=new, var=_columns(key, *sums))
    where = repr(str(out)) if out is not None else " and ".join(f"layers[{name!r}]" for name in reversed(names))
    where += ", for dko.tl.rank_genes" if out is None and downstream else ""
    genes = many(int(np.count_nonzero(sums[0])), "gene")
    say(f"Knocked out {genes}, each in every cell that expresses it; see {where}.")
    return data if copy else None


# Bytes of an entry of a CSR matrix.
_ENTRY = 8


def _blocks(
    cells: Predictor, wanted: np.ndarray, batch_size: int | None, sums: np.ndarray, kept: Kept | None
) -> Generator[list[sparse.csr_matrix]]:
    """Yield the impacts, and downstream impacts, of one block of cells after the other, as in X; add up `sums`."""
    n_kinds, blocks = len(sums) - 1, cells.blocks(batch_size)
    with cells.source.refusing():
        beginning = (first := next(blocks)).read()
    # The first block stands for all; what a worker can read itself is not sent.
    per_cell = np.count_nonzero(wanted[beginning.values.indices]) / max(1, len(beginning.rows))
    n_knockouts = round(per_cell * len(cells.rows))
    if kept is None and (size := n_kinds * _ENTRY * n_knockouts) > settings.result_budget:
        raise ValueError(
            f"The impacts would take about {size / 2**30:.1f} GiB; name a file for them, "
            "out='impacts.zarr', or raise dko.settings.result_budget."
        )
    work = _Scan(cells.model, wanted, n_kinds, cells.columns, sums.shape[1], kept)
    tasks = ((block,) for block in chain([first], blocks))
    with progress_of(n_knockouts, description="scan", unit="knockout") as advance:
        for found in cells.each(work, tasks, advance):
            sums += found.sums
            yield _taken(found, kept, sums.shape[1])


class _Found(NamedTuple):
    """The impacts of a block, or the name under which they are kept; and their sums, as in :func:`_blocks`."""

    impacts: str | list[sparse.csr_matrix]
    sums: np.ndarray


@dataclass(frozen=True)
class _Scan:
    """Knock out every wanted gene in a block of cells."""

    model: Model
    wanted: np.ndarray
    n_kinds: int
    columns: np.ndarray
    n_vars: int
    kept: Kept | None

    def __call__(self, block: Block, advance: Callable[[int], object]) -> Iterator[_Found]:
        """Yield each kind of impact, as in X, kept if there is somewhere to keep it."""
        name = _name(block) if self.kept else ""
        found = self.kept.get(name, self.n_vars) if self.kept else None
        if found:
            advance(found[0].nnz)
        else:
            found = self._impacts(block, advance)
            if self.kept and not self.kept.put(name, found):
                name = ""
        of_each = [
            np.bincount(found[0].indices, weights, self.n_vars) for weights in (None, *(one.data for one in found))
        ]
        yield _Found(name or found, np.stack(of_each))

    def _impacts(self, block: Block, advance: Callable[[int], object]) -> list[sparse.csr_matrix]:
        found = np.full((self.n_kinds, block.values.nnz), np.nan, dtype=np.float32)
        for model, there, values in block.parts(self.model):
            impacts = model.scan(values, self.wanted, downstream=self.n_kinds > 1, advance=advance)
            if len(there) == len(block.rows):
                found = impacts
            else:
                entries = np.repeat(np.isin(np.arange(len(block.rows)), there), np.diff(block.values.indptr))
                found[:, entries] = impacts
        shape = (block.stop - block.first, self.n_vars)
        return layers(block.values, found, block.rows - block.first, self.columns, shape)


def _taken(found: _Found, kept: Kept | None, n_columns: int) -> list[sparse.csr_matrix]:
    if isinstance(found.impacts, list):
        if kept:
            kept.no_room()
        return found.impacts
    assert kept is not None
    return kept.take(found.impacts, n_columns)


def _name(block: Block) -> str:
    values = block.values
    return f"{block.first}-{digest(block.rows, values.data, values.indices, values.indptr)}"


def _made_from(cells: Predictor, wanted: np.ndarray, names: Sequence[str]) -> str:
    """Return a name for all that the impacts are made from, but for the cells themselves."""
    fitted = cells.fitted
    arrays = [fitted.weights[name] for name in sorted(fitted.weights)]
    return digest(
        version("dko"), sorted(fitted.params.items()), fitted.genes, names, cells.adata.n_vars, cells.columns,
        cells.models, wanted, *arrays,
    )  # fmt: skip


def _columns(key: str, n_cells: np.ndarray, *totals: np.ndarray) -> dict[str, np.ndarray]:
    if not n_cells.any():
        raise ValueError(
            "No chosen cell that has a model expresses any of the genes, so there is nothing to knock out."
        )
    with np.errstate(invalid="ignore"):
        means = [(total / n_cells).astype(np.float32) for total in totals]
    names = (keys.impact_mean(key), keys.downstream_mean(key))
    return {**dict(zip(names, means, strict=False)), keys.n_cells(key): n_cells.astype(np.int64)}
