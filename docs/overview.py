"""Draw the picture of the README and the landing page, from cells that come with scanpy: python docs/overview.py"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patheffects import withStroke

import dko

HERE = Path(__file__).parent
GENE, GROUP = "CD74", "CD19+ B"
# Cell types that are named: those with the largest impact.
N_NAMED = 3


def main() -> None:
    """Fit, scan, rank and draw: where a knockout matters, which genes matter, and what changes."""
    adata = dko.datasets.pbmc68k()
    dko.tl.fit(adata)
    dko.tl.scan(adata)
    dko.tl.rank_genes(adata, groupby="cell_type", groups=[GROUP], exclude=["ribosomal", "mitochondrial", "few cells"])
    dko.tl.affected_genes(adata, GENE, groupby="cell_type", groups=[GROUP])

    with dko.pl.style():
        draw(adata).savefig(HERE / "_static" / "overview.png", dpi=110)


def draw(adata):
    """Draw the three panels, and name the types in which the knockout matters most."""
    figure, (where, which, what) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    dko.pl.impact(adata, GENE, downstream=True, ax=where, show=False)
    dko.pl.ranking(adata, groupby="cell_type", n_genes=12, ax=which, show=False)
    dko.pl.effect(adata, GENE, group=GROUP, n_genes=8, ax=what, show=False)
    cells = pd.DataFrame(adata.obsm["X_umap"], columns=["x", "y"], index=adata.obs_names)
    cells["impact"] = dko.get.impact(adata, GENE, downstream=True)
    types = cells.groupby(adata.obs["cell_type"], observed=True).median().nlargest(N_NAMED, "impact")
    for name, (x, y, _) in types.iterrows():
        halo = [withStroke(linewidth=2.5, foreground="white")]
        where.annotate(name, (x, y), (0, 24), textcoords="offset points", ha="center", path_effects=halo)
    where.set_title(f"In which cells does {GENE} matter?")
    which.set_title(f"Which genes matter in {GROUP} cells?")
    what.set_title(f"What changes in them without {GENE}?")
    return figure


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
