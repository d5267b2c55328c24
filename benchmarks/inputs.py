"""The cells that contestants work on, fitted where they need a model, as files that every process reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData
    from scipy import sparse

DATA = Path(os.environ.get("DKO_TEST_DATA", "../shared/data"))
_N_GENES = 2_000
_TILES = 10
# Enough for weights that are no longer random; what is measured does not depend on them.
_STEPS = 50
# Numbers of cells that stay on disk, by name.
STORED = {"stored_half": 10_000, "stored": 20_000, "stored_5": 100_000, "stored_50": 1_000_000}
# Cells that are simulated at a time on disk, and their types.
_BLOCK, _N_TYPES = 10_000, 10


def write(inputs: str, names: Sequence[str], quick: bool) -> dict[str, int]:
    """Make the files of these names in the folder `inputs`; small simulated cells for a quick run."""
    _settle()
    sizes = {}
    for name in names:
        if name in STORED:
            sizes[name] = _write_stored(
                Path(inputs) / f"{name}.zarr", *((600, 200) if quick else (STORED[name], 2_000))
            )
            continue
        cells = _quick(name) if quick else _BUILDERS[name]()
        cells.write_h5ad(Path(inputs) / f"{name}.h5ad")
        sizes[name] = cells.n_obs
    return sizes


def _write_stored(path: Path, n_cells: int, n_genes: int) -> int:
    """Make cells on disk, with a model of the first of them."""
    import zarr
    from anndata.experimental import read_lazy
    from anndata.io import write_elem

    import dko

    on_disk(n_cells, n_genes, path)
    first = read_lazy(path)[: min(n_cells, 5_000)].to_memory()
    dko.tl.fit(first, max_steps=_STEPS, progress=False)
    write_elem(zarr.open_group(str(path), mode="r+", use_consolidated=False), "uns", dict(first.uns))
    return n_cells


def read(inputs: str, name: str) -> AnnData:
    """Read one of the files."""
    import anndata as ad

    _settle()
    return ad.read_h5ad(Path(inputs) / f"{name}.h5ad")


def on_disk(n_cells: int, n_genes: int, path: str | Path) -> None:
    """Simulate cells block by block into a ``.zarr`` store of any size, in place of what is there.

    X holds Poisson counts (CSR float32), given the type of a cell independent of each other: about a tenth of them is
    above zero, and genes differ between the ten types of ``obs["cell_type"]``. ``obsm["X_umap"]`` has a cloud for each
    type, so that there is something to draw. The first cells are the same however many follow.
    """
    import numpy as np
    import pandas as pd
    import zarr
    from anndata import AnnData
    from anndata.io import sparse_dataset, write_elem

    n_blocks = -(-n_cells // _BLOCK)
    types = np.random.default_rng(0).integers(_N_TYPES, size=n_blocks * _BLOCK)
    centres = 5 * np.stack([np.cos(np.arange(_N_TYPES)), np.sin(np.arange(_N_TYPES))], axis=1)
    umap = centres[types] + np.random.default_rng(1).normal(size=(len(types), 2))
    names = pd.RangeIndex(n_cells).astype(str)
    cells = pd.DataFrame({"cell_type": pd.Categorical.from_codes(types[:n_cells], list("ABCDEFGHIJ"))}, index=names)
    genes = pd.DataFrame(index=[f"gene_{number}" for number in range(n_genes)])
    store = zarr.open_group(str(path), mode="w")
    write_elem(store, "/", AnnData(obs=cells, var=genes, obsm={"X_umap": umap[:n_cells].astype(np.float32)}))
    del store["X"]
    for block in range(n_blocks):
        first = block * _BLOCK
        counts = _counts(types[first : first + _BLOCK], n_genes, block)[: n_cells - first]
        if block:
            sparse_dataset(store["X"]).append(counts)
        else:
            write_elem(store, "X", counts, dataset_kwargs={"chunks": (2**20,)})


def _counts(types: np.ndarray, n_genes: int, block: int, depth: float = 0.12) -> sparse.csr_matrix:
    """Draw the gene of every molecule of some cells: counts are Poisson, and only those above zero cost time.

    A cell has `depth` molecules for each gene.
    """
    import numpy as np
    from scipy import sparse

    of_genes, rng = np.random.default_rng(2), np.random.default_rng([3, block])
    means = of_genes.gamma(0.5, size=n_genes) * of_genes.gamma(4, size=(_N_TYPES, n_genes))
    bounds = np.arange(_N_TYPES)[:, None] + np.cumsum(means / means.sum(axis=1, keepdims=True), axis=1)
    cell = np.repeat(np.arange(len(types)), rng.poisson(depth * n_genes * rng.lognormal(0, 0.3, len(types))))
    gene = np.searchsorted(bounds.ravel(), types[cell] + rng.random(len(cell)), side="right") - types[cell] * n_genes
    counts = sparse.csr_matrix((np.ones(len(cell), dtype=np.float32), (cell, gene)), shape=(len(types), n_genes))
    counts.indptr = counts.indptr.astype(np.int64)  # millions of cells have more entries than 32 bits count
    return counts


def _settle() -> None:
    """Say nothing, and stay on the processor, whatever else the machine has."""
    import dko

    dko.settings.verbosity, dko.settings.device = 0, "cpu"


def read_stored(inputs: str, name: str) -> AnnData:
    """Open cells on disk."""
    from anndata.experimental import read_lazy

    _settle()
    return read_lazy(Path(inputs) / f"{name}.zarr")


def _file(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        raise SystemExit(f"There is no {path}; set DKO_TEST_DATA to the folder that holds {name}.")
    return path


def _fitted(cells: AnnData, *, paper: bool = False) -> AnnData:
    """Fit for a few steps: by default, with total effects, or the paper's network, which the alternatives run too."""
    import dko

    preset, effects = ("paper", "auto") if paper else (None, "total")
    dko.tl.fit(cells, preset=preset, effects=effects, max_steps=_STEPS, progress=False)
    return cells


def _pbmc() -> AnnData:
    import anndata as ad

    return ad.read_h5ad(_file("pbmc3k_raw_annotated.h5ad"))


def _variable() -> AnnData:
    """PBMC 3k and its 2,000 most variable genes, which is what a fit takes when told nothing."""
    import dko

    cells = _pbmc()
    return _fitted(cells[:, dko.pp.select_genes(cells, n_top_genes=_N_GENES)].copy())


def _common(*, paper: bool = False) -> AnnData:
    """PBMC 3k and the 2,000 genes that most cells express: the most work per cell."""
    import numpy as np

    cells = _pbmc()
    n_cells = np.bincount(cells.X.indices, minlength=cells.n_vars)
    return _fitted(cells[:, np.sort(np.argsort(-n_cells, kind="stable")[:_N_GENES])].copy(), paper=paper)


def _tiled(cells: AnnData) -> AnnData:
    """Return the same cells several times, with the model."""
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    values = sparse.vstack([cells.X] * _TILES, format="csr")
    names = pd.RangeIndex(values.shape[0]).astype(str)
    return AnnData(values, obs=pd.DataFrame(index=names), var=cells.var, uns=dict(cells.uns))


def _reference() -> AnnData:
    import dko

    return _fitted(dko.io.read_reference(_file("reference/Ptrain.csv.gz")), paper=True)


def _peers() -> AnnData:
    """Return the counts alone: neither the truth nor anything else of the simulation."""
    import anndata as ad

    cells = ad.read_h5ad(_file("sim_peers_500x1000.h5ad"))
    return ad.AnnData(cells.X, obs=cells.obs[[]], var=cells.var[[]])


def _screen(n_genes: int = 5_000, n_perturbations: int = 100, n_controls: int = 2_000) -> AnnData:
    """Return counts of knockouts of 200 cells each, which change a twentieth of the genes, and control cells."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy import sparse

    rng = np.random.default_rng(0)
    mean = rng.gamma(0.5, 1.0, n_genes)
    mean *= n_genes / mean.sum()
    names = [f"gene_{number}" for number in range(n_genes)]
    counts, labels = [], []
    for label, n_cells in {"control": n_controls, **dict.fromkeys(names[:n_perturbations], 200)}.items():
        change = np.exp(0.3 * rng.standard_normal(n_genes) * (rng.random(n_genes) < 0.05)) if label in names else 1.0
        depth = rng.lognormal(0, 0.3, (n_cells, 1))
        counts.append(sparse.csr_matrix(rng.poisson(mean * change * depth).astype(np.float32)))
        labels += [label] * n_cells
    cells = pd.DataFrame({"perturbation": pd.Categorical(labels)}, index=pd.RangeIndex(len(labels)).astype(str))
    return ad.AnnData(sparse.vstack(counts, format="csr"), obs=cells, var=pd.DataFrame(index=names))


def _many_genes(n_cells: int = 3_000, n_genes: int = 20_000) -> AnnData:
    """Return counts of ten types of cells, about 1,400 genes in a cell."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    # Some genes more, as no cell expresses a few of them.
    counts = _counts(np.random.default_rng(0).integers(_N_TYPES, size=n_cells), n_genes * 11 // 10, 0, depth=0.072)
    counts = counts[:, np.flatnonzero(counts.getnnz(axis=0))[:n_genes]]
    names = pd.DataFrame(index=[f"gene_{number}" for number in range(n_genes)])
    return ad.AnnData(counts, obs=pd.DataFrame(index=pd.RangeIndex(n_cells).astype(str)), var=names)


def _quick(name: str) -> AnnData:
    import dko

    if name == "screen":
        return _screen(60, 5, 200)
    cells = dko.datasets.grn(60, 40, share_present=(0.3, 0.7), depth=400)
    del cells.layers["truth"], cells.varp["network"], cells.uns["grn"]
    fitted = _fitted(cells, paper=name in {"published", "reference"})
    return _tiled(fitted) if name == "tiled" else fitted


_BUILDERS = {
    "pbmc": _pbmc,
    "variable": _variable,
    "common": _common,
    "published": lambda: _common(paper=True),
    "tiled": lambda: _tiled(_common()),
    "reference": _reference,
    "peers": _peers,
    "screen": _screen,
    "many_genes": _many_genes,
}
