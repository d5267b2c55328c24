"""What runs in the environments of the other tools: one network, and every knockout from it.

Both with the defaults of their papers, but for quality control, which the cells have had, and which would leave out
knocked-out genes that few cells express.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from typing import Any

_ALL = {"min_lib_size": 0, "min_percent": 0, "max_mito_ratio": 1}


def sctenifold(cells: str, genes: list[str]) -> dict[str, Any]:
    """Return distances between the manifolds before and after each knockout."""
    tool = import_module("scTenifold").scTenifoldKnk
    model = tool(import_module("anndata").read_h5ad(cells), qc_kws=_ALL, ko_genes=genes[:1])
    for step in ("qc", "nc", "td"):
        model.run_step(step)
    known, scores = sorted(model.shared_gene_names), {}
    for gene in genes:
        model.run_step("ko", ko_genes=[gene])
        model.run_step("ma")
        model.run_step("dr")
        scores[gene] = model.d_regulation.set_index("Gene")["Distance"].reindex(known).tolist()
    return {"genes": known, "scores": scores}


def genki(cells: str, genes: list[str]) -> dict[str, Any]:
    """Return divergences between the latent variables of a graph autoencoder before and after each knockout."""
    loader = import_module("GenKI.dataLoader").DataLoader
    training, utils = import_module("GenKI.train"), import_module("GenKI.utils")
    prepare = import_module("GenKI.preprocessing").build_adata
    data = prepare(import_module("anndata").read_h5ad(cells), log_normalize=True, scale_data=True, uppercase=False)
    names, scores = list(data.var_names), {}
    with tempfile.TemporaryDirectory() as folder:
        normal = trainer = None
        for gene in genes:
            one = loader(data, target_gene=[gene], GRN_file_dir=folder, rebuild_GRN=normal is None)
            if trainer is None:
                normal = one.load_data()
                trainer = training.VGAE_trainer(normal, epochs=100, lr=7e-4, beta=1e-4, seed=8096, verbose=False)
                trainer.train()
                before = trainer.get_latent_vars(normal)
            after = trainer.get_latent_vars(one.load_kodata())
            found = utils.get_generank(normal, utils.get_distance(*after, *before, by="KL"), None)["dis"]
            scores[gene] = found.reindex(names).tolist()
    return {"genes": names, "scores": scores}
