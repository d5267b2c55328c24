"""Knocking out named genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._core import keys
from .._core.blocks import layers
from .._core.cells import unwrap
from .._core.knockouts import open_model, require_cells
from .._core.messages import listed, many, say
from .._core.verb import verb
from .._core.write import writable, write, writing
from .._settings import settings

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Groups, Knockouts, MuData, Predictor
    from ..models import Knockout


@verb
def virtual_ko(
    adata: AnnData | MuData,
    genes: Knockouts,
    *,
    dose: float = 1.0,
    groups: Groups = None,
    profiles: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    batch_size: int | None = None,
    mixture: bool = False,
    rng: RNG = 0,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Predict what cells look like without a gene, and how far that is from what they look like with it.

    With ``model="sccvae"``: what control cells look like with a perturbation, measured or not.

    Parameters
    ----------
    %(adata)s
    genes
        One gene, a list of genes (each knocked out alone), or tuples of genes (removed together, also ``"A+B"``).
    dose
        Fraction that is removed, 0 to 1 (1: knockout; below: knockdown); of an SCCVAE, part of the shift.
    %(groups)s
    profiles
        Write the predicted profiles; the impacts are written in any case.
    %(fit)s
    %(device)s
    mixture
        `dose` is the share of cells that lose the genes in full; the others escape, and stay as they are.
    %(rng)s
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. The label of a knockout is its genes, sorted, joined by ``+``. Sets

    ``layers[f"{key}_ko_{label}"]``
        CSR float32, the predicted relative profile after the knockout; rows sum to 1, or are empty for a cell that
        loses its only gene. Cells that do not express the gene keep the profile that knockouts start from,
        ``layers["before"]`` of :func:`dko.get.profiles`; cells outside `groups` and genes outside the model have no
        entries. Of an SCCVAE dense float32: the control cells as observed with the predicted change, log-normalised
        like the input and not below 0; NaN in other cells and at genes outside the model.
    ``obsm[f"{key}_impact"]``
        DataFrame, float32, a column per label, beside those of earlier calls: Bray-Curtis dissimilarity of the relative
        profiles after and before; NaN where a cell expresses none of the genes, or has no prediction.
        :func:`dko.get.impact` reads it.
    ``obsm[f"{key}_downstream"]``
        The same without the knocked-out genes in both profiles, each made to sum to 1 again: 0 where nothing else
        changes.
    ``uns[key]["knockouts"]``
        DataFrame: label, dose, and the number of cells that have an impact.

    %(errors)s
        no cell expresses a gene; no control cell; more profiles than memory is sensible for.

    Notes
    -----
    With total effects a knockout is applied to the cell as it was observed, with direct effects two predictions are
    compared (docs, design). In ``layers`` keys and column names ``/`` is spelled ``%2F``.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, ["CD74", ("CD79A", "CD79B")])
    >>> adata.layers["dko_ko_CD74"].shape
    (700, 765)
    >>> adata.obsm["dko_impact"].columns.tolist()
    ['CD74', 'CD79A+CD79B']
    """
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    cells = open_model(data, key, mod, groups, device=device)
    sets = cells.sets(genes)
    labels: list[str] = list(sets)
    columns = [keys.column(label, target.obs_names) for label in labels]
    impacts: np.ndarray = np.full((2, target.n_obs, len(sets)), np.nan, dtype=np.float32)
    # What cannot be written is refused before any work, as is a damaged table.
    _beside(target.obsm.get(keys.impact(key), pd.DataFrame())[:0], pd.DataFrame(columns=columns), key)
    if keys.KNOCKOUTS in cells.fitted.tables:
        cells.fitted.table(keys.KNOCKOUTS)
    found = _Profiles(cells, len(sets)) if profiles else None
    how: dict[str, Any] = {"mixture": mixture, "rng": rng, "batch_size": batch_size, "description": "virtual_ko"}
    for knockout in cells.predict(list(sets.values()), (dose,), profiles=profiles, **how):
        impacts[:, knockout.rows, knockout.number] = knockout.impact, knockout.downstream
        if found is not None:
            found.add(knockout)
    there = np.isfinite(impacts[0])
    require_cells(cells, sets, there.any(axis=0))
    new = [] if found is None else found.layers()
    table = pd.DataFrame({"label": labels, "dose": dose, "n_cells": there.sum(axis=0)})
    names = [keys.ko_layer(key, label) for label in labels]
    frames = [pd.DataFrame(values, index=target.obs_names, columns=columns) for values in impacts]
    with writing():
        earlier = target.uns[key].get(keys.KNOCKOUTS, table[:0])
        table = pd.concat([earlier[~earlier["label"].isin(labels)], table], ignore_index=True)
        places = zip((keys.impact(key), keys.downstream(key)), frames, strict=True)
        write(
            target,
            # Without a new profile, that of an earlier call would stand beside the impact of this one.
            remove={"layers": [] if profiles else names},
            layers=dict(zip(names, new, strict=False)),
            obsm={place: _beside(target.obsm.get(place), frame, key) for place, frame in places},
            uns={key: {**target.uns[key], keys.KNOCKOUTS: table}},
        )
    say(f"Knocked out {listed(labels)} in {many(there.any(axis=1).sum(), 'cell')}; see obsm[{keys.impact(key)!r}].")
    return data if copy else None


class _Profiles:
    """Predicted cells, as they come block by block: in matrices like X, dense where they are log expression."""

    def __init__(self, cells: Predictor, n_sets: int):
        self._cells, shape = cells, cells.adata.shape
        # Of a CSR matrix twelve bytes per entry: the profile, and its value and column in the layer.
        n_bytes = 4 * shape[0] * shape[1] if cells.model.log else 12 * sum(b.values.nnz for b in cells.read(None))
        size = n_sets * n_bytes
        if size > settings.result_budget:
            raise ValueError(
                f"The profiles of {n_sets} knockouts would take {size / 2**30:.1f} GiB; pass profiles=False for their "
                "impacts alone, or fewer genes."
            )
        self._dense = [np.full(shape, np.nan, dtype=np.float32) for _ in range(n_sets * cells.model.log)]
        self._found: list[list[Knockout]] = [[] for _ in range(n_sets)]

    def add(self, knockout: Knockout) -> None:
        if self._cells.model.log:
            self._dense[knockout.number][np.ix_(knockout.rows, self._cells.columns)] = knockout.after
        else:
            self._found[knockout.number].append(knockout._replace(before=None))

    def layers(self) -> list[Any]:
        """Return a layer for each knockout; cells that lack its genes keep the profile that they had before."""
        if self._cells.model.log:
            return self._dense
        before, rows = self._cells.before(), self._cells.rows
        of_all = []
        for found in self._found:
            source = np.arange(len(rows))
            touched = np.searchsorted(rows, np.concatenate([knockout.rows for knockout in found]))
            source[touched] = len(rows) + np.arange(len(touched))
            after = sparse.csr_matrix(sparse.vstack([before, *(one.after for one in found)], format="csr"))[source]
            after.eliminate_zeros()
            of_all += layers(after, after.data[None], rows, self._cells.columns, self._cells.adata.shape)
        return of_all


def _beside(earlier: pd.DataFrame | None, new: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the frame of impacts with columns of earlier calls; refuse what cannot be written to a file."""
    joined = new if earlier is None else pd.concat([earlier.drop(columns=new.columns, errors="ignore"), new], axis=1)
    if joined.shape[1] > keys.MAX_FRAME_COLUMNS:
        raise ValueError(
            f"obsm[{keys.impact(key)!r}] would hold more than {keys.MAX_FRAME_COLUMNS:,} knockouts, which h5ad files "
            "cannot take; use dko.tl.scan(adata), which writes the impact of every gene into a layer."
        )
    return joined
