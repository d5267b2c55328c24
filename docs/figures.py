"""Run the code of gallery.md and save what it shows, in _static: python docs/figures.py [NAME ...]

With names, only those pictures are drawn. The data are files of DKO_TEST_DATA; the pages are built without them.
"""

import os
import re
import sys
from pathlib import Path

import anndata as ad
import matplotlib
import matplotlib.pyplot as plt
import scanpy as sc
from PIL import Image

import dko

HERE = Path(__file__).resolve().parent
_BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n!\[[^]]*\]\(([^)]*)\))?", re.DOTALL)
_DPI = 100
# Of nine cell types: Paul Tol's muted colours, which all kinds of colour vision distinguish.
_COLORS = "#332288 #CC6677 #117733 #DDCC77 #882255 #88CCEE #AA4499 #999933 #44AA99".split()


def blood_cells(folder: Path) -> ad.AnnData:
    """Return PBMC 3k with counts, normalised values and a UMAP; cells without a type are left out."""
    adata = ad.read_h5ad(folder / "pbmc3k_raw_annotated.h5ad")
    adata = adata[adata.obs["cell_type"] != "nan"].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.remove_unused_categories()
    sc.pp.filter_genes(adata, min_cells=3)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata)
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)
    adata.uns["cell_type_colors"] = _COLORS
    return adata


def draw(page: str, names: dict, wanted: list[str]) -> None:
    """Run the blocks of code of a page one after the other; save the picture of each that is followed by one."""
    for code, place in _BLOCK.findall(page):
        if place and wanted and Path(place).stem not in wanted:
            continue
        exec(code, names)
        if place:
            save(HERE / place)


def save(path: Path) -> None:
    """Save the current figure with a palette, which is a third of the bytes and looks the same."""
    plt.savefig(path, dpi=_DPI, bbox_inches="tight")
    plt.close("all")
    image = Image.open(path).convert("RGB")
    image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    matplotlib.use("Agg")
    sc.settings.autoshow = False
    folder = Path(os.environ.get("DKO_TEST_DATA", HERE.parents[1] / "shared" / "data")).resolve()
    data = {"adata": blood_cells(folder), "screen": ad.read_h5ad(folder / "renge23_hipsc_crispr_ko_103genes.h5ad")}
    os.chdir(HERE / "_static")  # pages are written here
    draw((HERE / "gallery.md").read_text(), {"dko": dko, "sc": sc, **data}, sys.argv[1:])
