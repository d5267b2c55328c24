"""Loading a fitted model from a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _keys
from .._data import are_counts, read_csr, read_expression, unwrap
from .._fitted import SOURCE, Fitted, check_key, gene_columns, signal_column, source_params
from .._histories import as_read
from .._log_values import source_of
from .._verb import verb
from .._write import writable, write_model
from ._save import FORMAT

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@verb
def load(
    adata: AnnData | MuData,
    path: str | Path,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    log1p: bool | None = None,
    key_added: str = _keys.DEFAULT,
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
    None. Sets ``uns[key_added]`` as :func:`dko.tl.fit` does; knockouts of an earlier model there are removed.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or not one of :func:`dko.io.save`; counts for an SCCVAE that was trained on log-normalised values,
        or the other way round.
    KeyError
        Genes of the model are not in ``var_names``.
    """
    target = unwrap(writable(adata, False, mod), mod)
    check_key(target, key_added)
    fitted, tables = _read(Path(path))
    gene_columns(target, fitted)
    if fitted.kind == _keys.SCCVAE:
        source = _source_of_log_values(target, fitted, layer, use_raw, log1p)
    else:
        source = source_params(read_expression(target, layer, use_raw, log1p), layer, use_raw)
    write_model(
        target,
        key_added,
        {
            _keys.PARAMS: {**{name: fitted.params[name] for name in fitted.params if name not in SOURCE}, **source},
            _keys.GENES: fitted.genes,
            _keys.GROUPS: fitted.groups,
            **({_keys.TARGETS: fitted.targets} if fitted.targets else {}),
            _keys.WEIGHTS: fitted.weights,
            **tables,
        },
        var=signal_column(fitted.weights, fitted.genes, target, key_added),
    )


def _source_of_log_values(
    adata: AnnData, fitted: Fitted, layer: str | None, use_raw: bool, log1p: bool | None
) -> dict[str, Any]:
    """Return where the expression of these cells is, which are counts if the model was trained on counts."""
    counted = fitted.params["values"] == "counts"
    if are_counts(read_csr(adata, layer, use_raw, fitted.genes)) != counted:
        remedy = "the layer that holds the counts" if counted else "a layer that holds such values"
        raise ValueError(
            f"This model was trained on {'counts' if counted else 'log-normalised values'}, and these cells hold "
            f"{'other values' if counted else 'counts'} there; name {remedy}, layer=..."
        )
    _, _, kind = source_of(adata, layer, use_raw, log1p, normalize=counted)
    return {"values": kind, "use_raw": use_raw, **({} if layer is None else {"layer": layer})}


def read_model(path: Path) -> Fitted:
    """Read the model of a file, without its tables."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Fitted, dict[str, pd.DataFrame]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{str(path)!r} is not a file of dko.io.save.")
    with np.load(path, allow_pickle=False) as arrays:
        try:
            text = json.loads(str(arrays["text"])) if "text" in arrays else {}
        except ValueError:  # a pickle, which is not opened, or no JSON
            text = {}
        if text.get("format") != FORMAT:
            raise ValueError(f"{str(path)!r} is not a file of dko.io.save, or of a newer version of it.")
        weights = {name: arrays[name] for name in arrays.files if name != "text"}
    tables = {name: pd.DataFrame(text[name]) for name in (_keys.HISTORY, _keys.PERTURBATIONS) if name in text}
    tables[_keys.HISTORY] = as_read(tables[_keys.HISTORY])
    # Files of versions before the second model have no targets.
    return Fitted(str(path), text["params"], text["genes"], text["groups"], weights, text.get("targets", [])), tables
