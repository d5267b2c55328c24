"""Saving a fitted model to a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core import keys
from .._core.cells import Source, unwrap
from .._core.checks import Frame, checked_frame, checked_weights
from .._core.expression import read_expression
from .._core.fitted import SOURCE, Fitted, as_read, check_key, gene_columns, read_fitted, signal_column, source_params
from .._core.groups import membership
from .._core.results import OF_MODEL, checked_table, damaged
from .._core.verb import verb
from .._core.write import writable, write_model
from ..models import model_class
from ._atomic import atomic
from ._model_file import read_file, write_file
from ._target import check_target

if TYPE_CHECKING:
    from .._typing import AnnData, MuData


@verb
def save(adata: AnnData | MuData, path: str | Path, *, key: str = keys.DEFAULT, mod: str = "rna") -> None:
    """Save a fitted model as plain arrays (``.npz``), without the cells.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    path
        File to write, usually ``.npz``. An older file is replaced once the new one is complete, and its mode stays;
        nothing but a regular file is replaced. Symbolic links are followed.
    %(fit)s

    Raises
    ------
    KeyError, ValueError
        No fit; what is there is not as the fit has left it.
    OSError
        A folder, or anything else that is no file, has this name; the folder to write to does not exist or is full.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.io.save(adata, "model.npz")
    """
    check_target(path)
    fitted = read_fitted(unwrap(adata, mod), key)
    tables = {name: fitted.table(name) for name in (keys.HISTORY, keys.PERTURBATIONS) if name in fitted.tables}
    content = {
        keys.PARAMS: fitted.params,
        keys.GENES: fitted.genes,
        keys.GROUPS: fitted.groups,
        keys.TARGETS: fitted.targets,
        **{name: {column: values.tolist() for column, values in table.items()} for name, table in tables.items()},
    }
    with atomic(path) as temporary, temporary.open("wb") as file:
        write_file(file, content, fitted.weights)


@verb
def load(
    adata: AnnData | MuData,
    path: str | Path,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    key_added: str = keys.DEFAULT,
    mod: str = "rna",
) -> None:
    """Load a model saved by :func:`dko.io.save` into an AnnData that has its genes.

    Parameters
    ----------
    adata
        Cells to knock out in; need not be the cells of the fit.
    path
        File to read. Nothing in it is executed: it holds arrays and JSON.
    layer, use_raw, log1p
        Where the expression of these cells is, and whether it is log1p values; as in :func:`dko.tl.fit`.
    key_added, mod
        Where to put it.

    Returns
    -------
    None. Sets ``uns[key_added]`` as :func:`dko.tl.fit` does; knockouts of an earlier model there are removed. Groups of
    cells are those that the cells have now.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; one that is not as :func:`dko.io.save` has written it; counts for an SCCVAE that was trained on
        log-normalised values, or the other way round.
    KeyError
        Genes of the model are not in ``var_names``.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.io.save(adata, "model.npz")
    >>> other = dko.datasets.pbmc68k()  # cells with the same genes
    >>> dko.io.load(other, "model.npz")
    >>> dko.tl.virtual_ko(other, "CD74")
    """
    target = unwrap(writable(adata, False, mod), mod)
    check_key(target, key_added)
    fitted = read_model(Path(path))
    gene_columns(target, fitted)
    matrix = Source(target, layer, use_raw)
    scale = read_expression(matrix, log1p, linear=not fitted.model.log).scale
    counted = fitted.params.get("values") == "counts"
    if fitted.model.log and (scale.kind == "counts") != counted:
        remedy = "the layer that holds the counts" if counted else "a layer that holds such values"
        raise ValueError(
            f"This model was trained on {'counts' if counted else 'log-normalised values'}, and these cells hold "
            f"{'other values' if counted else 'counts'} there; name {remedy}, layer=..."
        )
    # Which cells are in which group now, so that later changes are noticed.
    groupby = str(fitted.params.get("groupby"))
    of_groups = fitted.groups and groupby in target.obs
    write_model(
        target,
        key_added,
        {
            keys.PARAMS: {
                **{name: fitted.params[name] for name in fitted.params if name not in SOURCE},
                **source_params(scale, matrix),
            },
            keys.GENES: fitted.genes,
            keys.GROUPS: fitted.groups,
            **({keys.TARGETS: fitted.targets} if fitted.targets else {}),
            keys.WEIGHTS: fitted.weights,
            **({keys.CELLS: membership(target, groupby, fitted.groups)} if of_groups else {}),
            **fitted.tables,
        },
        var=signal_column(fitted.weights, fitted.genes, target, key_added),
    )


def read_model(path: Path) -> Fitted:
    """Read the model of a file, which may come from anywhere; FileNotFoundError; ValueError: it is not whole."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    with path.open("rb") as file, damaged(f"{str(path)!r} is not a model that dko.io.save wrote"):
        content, arrays = read_file(file)
        frame = checked_frame(content)
        weights = checked_weights(frame, arrays)
        tables = _tables(content, frame)
        return Fitted(str(path), frame.params, frame.genes, frame.groups, weights, frame.targets, tables=tables)


def _tables(content: dict[str, Any], frame: Frame) -> dict[str, pd.DataFrame]:
    """Return the tables beside a model: those that a fit always leaves, and others that are there."""
    always = model_class(frame.params["model"]).tables
    names = [name for name in (keys.HISTORY, keys.PERTURBATIONS) if name in always or name in content]
    made = {name: pd.DataFrame(content.get(name, {})) for name in names}
    tables = {name: checked_table(made, name, OF_MODEL[name]) for name in names}
    return {name: as_read(table) if name == keys.HISTORY else table for name, table in tables.items()}
