"""Starting a fit from another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..._core.fitted import read_fitted
from ..._core.knockouts import require_ability
from ..._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ...models.dko_model import DkoModel
    from ...models.knockout import Map


def initial_maps(
    adata: AnnData,
    init_from: str | Path | None,
    genes: Sequence[str],
    groups: Sequence[str],
    rank: int | None = None,
) -> dict[str, Map]:
    """Return the map that each group starts from, on the genes of the new fit; empty without `init_from`.

    A source with one model serves every group; a source with groups serves the groups of the same name. Its maps have
    the rank of the new fit, or are full ones as that is.
    """
    if init_from is None:
        return {}
    from ...io._model import read_model

    if str(init_from) not in adata.uns and not Path(init_from).is_file():
        raise FileNotFoundError(
            f"init_from={str(init_from)!r} is neither a key of adata.uns nor a file of dko.io.save."
        )
    source = read_fitted(adata, str(init_from)) if str(init_from) in adata.uns else read_model(Path(init_from))
    require_ability(source.model, str(init_from), "predicting")
    if (there := source.params.get("rank")) != rank:
        form = "a full map; leave out rank=..." if there is None else f"a map of rank {there}; fit with rank={there}"
        raise ValueError(f"init_from={str(init_from)!r} holds {form}, or start without it.")
    position = {gene: i for i, gene in enumerate(source.genes)}
    if missing := [gene for gene in genes if gene not in position]:
        raise KeyError(
            f"init_from={str(init_from)!r} does not know {len(missing)} of the {len(genes)} genes: {listed(missing)}; "
            "fit on its genes, genes=adata.uns[...]['genes']."
        )
    if absent := [group for group in groups if source.groups and group not in source.groups]:
        if groups == [""]:
            raise KeyError(f"init_from={str(init_from)!r} has a model per group; fit with groupby=..., too.")
        raise KeyError(
            f"init_from={str(init_from)!r} has no model for {listed(absent)}; it has {listed(source.groups)}."
        )
    order = [position[gene] for gene in genes]
    numbers = {group: source.groups.index(group) if source.groups else 0 for group in groups}
    models = {group: cast("DkoModel", source.model.part(number)) for group, number in numbers.items()}
    return {group: model.predicting.subset(order) for group, model in models.items()}
